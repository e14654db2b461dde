"""A Chroma server: what the command `chroma` does, without the second it takes to import
the client first. Tests start hundreds of them.

    python chroma_server.py run CONFIG
"""

import sys

import chromadb_rust_bindings

chromadb_rust_bindings.cli(["chroma", *sys.argv[1:]])

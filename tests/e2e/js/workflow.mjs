// The workflow of test_workflow.py with the JavaScript client:
//   node workflow.mjs PORT NAME
// Says "half" and waits for a line, so that the test can kill a server in the middle.
import assert from "node:assert/strict";
import { once } from "node:events";
import { ChromaClient } from "chromadb";

const [port, name] = process.argv.slice(2);
const vectors = [[0.1, 0.2, 0.3], [0.9, 0.1, 0.4], [0.5, 0.5, 0.5], [0.7, 0.2, 0.1], [0.3, 0.8, 0.6]];
const plain = { embeddingFunction: null };

const client = new ChromaClient({ host: "127.0.0.1", port: Number(port) });
assert.ok((await client.heartbeat()) > 0);
const c = await client.createCollection({ name, metadata: { made: "new" }, ...plain });
const again = await client.getOrCreateCollection({ name, ...plain });
assert.equal(again.id, c.id);
await assert.rejects(client.createCollection({ name, ...plain }), /already exists/);
await c.add({
  ids: ["1", "2", "3"],
  embeddings: vectors.slice(0, 3),
  documents: ["red apple", "green pear", "red cherry"],
  metadatas: [0, 1, 2].map((page) => ({ document_id: "x", page })),
});

console.log("half");
await once(process.stdin, "data");
process.stdin.unref();

assert.equal(await c.count(), 3);
await c.add({ ids: ["4"], embeddings: vectors.slice(3, 4), metadatas: [{ document_id: "y" }] });
assert.equal(await c.count(), 4);
await c.upsert({ ids: ["4", "5"], embeddings: vectors.slice(3, 5), documents: ["grape", "plum"] });
const changed = { documents: ["yellow pear"], metadatas: [{ page: 7 }] };
await c.update({ ids: ["2"], embeddings: vectors.slice(1, 2), ...changed });
const got = await c.get({ ids: ["2", "4"] });
assert.deepEqual(got.ids, ["2", "4"]);
assert.deepEqual(got.documents, ["yellow pear", "grape"]);
assert.deepEqual(got.metadatas, [{ document_id: "x", page: 7 }, { document_id: "y" }]);
let found = await c.query({ queryEmbeddings: [vectors[4]], nResults: 1 });
assert.deepEqual(found.ids, [["5"]]);
found = await c.query({ queryEmbeddings: [vectors[4]], nResults: 5, where: { document_id: "x" } });
assert.deepEqual(found.ids[0].sort(), ["1", "2", "3"]);
assert.deepEqual((await c.peek({ limit: 2 })).ids, ["1", "2"]);
assert.deepEqual((await c.get({ whereDocument: { $contains: "red" } })).ids, ["1", "3"]);

await c.delete({ ids: ["1"] });
await c.delete({ where: { page: { $in: [7] } } });
await c.delete({ whereDocument: { $contains: "plum" } });
assert.deepEqual((await c.get()).ids, ["3", "4"]);
await c.modify({ name: `${name}-renamed`, metadata: { made: "old" } });
const renamed = await client.getCollection({ name: `${name}-renamed`, ...plain });
assert.equal(renamed.id, c.id);
assert.deepEqual(renamed.metadata, { made: "old" });

const short = await client.createCollection({ name: `${name}-short`, ...plain });
await short.add({ ids: ["1"], embeddings: [[1, 2]] });
const names = (await client.listCollections()).map((x) => x.name);
assert.ok(names.includes(`${name}-renamed`) && names.includes(`${name}-short`) && !names.includes(name));
assert.equal(await client.countCollections(), names.length);
await client.deleteCollection({ name: `${name}-short` });
await assert.rejects(client.getCollection({ name: `${name}-short`, ...plain }), /not found|not be found|does not exist/);
console.log("done");
process.exit(0);

#ifndef CORE_VERSION_H
#define CORE_VERSION_H

#define CHROMATID_VERSION "0.1.0"
#define CHROMATID_SCHEMA 17 /* of the tables in PostgreSQL: wal/schema.c */

#endif

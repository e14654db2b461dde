/* core/body.h - pure: takes an HTTP/1 body out of a stream of bytes.
 *
 *	struct body b;
 *	body_init(&b, head.framing, head.content_length);
 *	n = body_read(&b, bytes, len, &piece, &piece_len, &state);
 *
 * Each call consumes n bytes and yields at most one piece of body (piece_len may be 0),
 * which points into the bytes given. Call again with the rest while BODY_MORE and bytes
 * are left. Chunk extensions and trailers are checked and dropped. */
#ifndef CORE_BODY_H
#define CORE_BODY_H

#include <stddef.h>
#include <stdint.h>

#include "core/head.h"

enum body_state {
	BODY_MORE,      /* not at the end yet */
	BODY_COMPLETE,  /* that was all; what follows belongs to the next message */
	BODY_MALFORMED, /* close the connection */
};

#define BODY_MAX_CHUNK_LINE 256u
#define BODY_MAX_TRAILER_BYTES 8192u

struct body {
	enum head_framing framing;
	uint64_t left; /* of the length, or of the current chunk */
	int step;      /* where in the chunked grammar */
	unsigned line; /* bytes of the current chunk-size line or trailer so far */
	unsigned digits;
};

void body_init(struct body *b, enum head_framing framing, uint64_t content_length);
size_t body_read(struct body *b, const char *bytes, size_t len, const char **piece,
                 size_t *piece_len, enum body_state *state);
/* The connection has closed: was that the end of the body? */
enum body_state body_at_close(const struct body *b);

#endif

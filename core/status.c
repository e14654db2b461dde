/* core/status.c - every way an operation can end. */
#include "core/status.h"

static const struct {
	int http;
	const char *text;
} list[] = {
#define X(name, http, text) {http, text},
        STATUS_LIST(X)
#undef X
};

const char *status_text(enum status s)
{
	return list[s].text;
}

int status_http(enum status s)
{
	return list[s].http;
}

#include "http/exchange.h"
#include "http/http.h"
void operator_answer(struct exchange *ex)
{
	exchange_json(ex, 200, "{}");
}
void http_document(struct text *out)
{
	text_adds(out, "");
}

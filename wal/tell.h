/* wal/tell.h - what people are told, wherever they are (SLACK_WEBHOOK_URL). */
#ifndef WAL_TELL_H
#define WAL_TELL_H

#include "core/conf.h"
#include "wal/advise.h"

void tell_start(const struct conf *conf);
void tell_stop(void);
void tell_advice(const struct advice *a);

#endif

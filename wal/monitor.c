/* wal/monitor.c - the door to what watches: sample.c, tell.c, failover.c, and
 * what notes events: chronicle.c. */
#include "wal/lead.h"
#include "wal/tell.h"

void wal_monitor_start(const struct conf *conf)
{
	chronicle_start(conf);
	failover_start();
	tell_start(conf);
	sample_start(conf);
}

void wal_monitor_stop(void)
{
	sample_stop();
	tell_stop();
	failover_stop();
	chronicle_stop();
}

/* health/instance.c - the set of instances, and the doors through which their health and
 * their writability change.
 *
 * The happy path:
 *   health_start     an upstream, a probe and a canary for each instance of conf
 *   set_health       the first verdict: up (when its marker is right: marker.c)
 *   health_choose_read  one of those that are up
 *
 * When it does not go well:
 *   - a call fails (health_report): probes and canaries decide, fast
 *   - a connection is refused: down at once
 *   - set_health(down): new work goes elsewhere from now on; open calls are ended; then,
 *     from the loop, the listeners are told. In this order, so that what a listener
 *     starts is not ended with the rest
 *   - an operator takes it out (instance_take_out): down as well, but what is under way
 *     may end, and probes do not bring it up
 *   - set_writing(fails): it is up and reads go on; the listeners are told in the same
 *     way, and what is under way there is not ended */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/random.h"
#include "health/health_private.h"

#define LISTENERS 8u
#define UPSTREAM_IDLE_MS 30000u /* below Chroma's own limit for unused connections */

static struct {
	const struct conf *conf;
	struct instance list[CONF_MAX_INSTANCES];
	unsigned count;
	unsigned turn; /* reads chosen so far */
	struct {
		health_change_fn *fn;
		void *arg;
	} listeners[LISTENERS];
	unsigned n_listeners;
} all;

const char *health_text(enum health h)
{
	static const char *const names[] = {"unknown", "down", "up"};

	return names[h];
}

struct upstream *health_upstream(const struct conf *conf, const char *url)
{
	struct upstream_options options = {
	        .url = url,
	        .max_connections = (unsigned)conf->connection_pool_size,
	        .connect_timeout = conf->connect_timeout,
	        .idle_timeout = UPSTREAM_IDLE_MS,
	        .ca_file = conf->upstream_ca_file,
	};
	struct upstream *up;
	char *value = NULL;

	if (conf->upstream_token != NULL && conf->upstream_auth_header != NULL) {
		options.auth_header = conf->upstream_auth_header;
		value = mem_string(conf->upstream_token);
	} else if (conf->upstream_token != NULL) {
		options.auth_header = "Authorization";
		value = mem_format("Bearer %s", conf->upstream_token);
	}
	options.auth_value = value;
	up = upstream_create(&options);
	free(value);
	return up;
}

void health_start(const struct conf *conf)
{
	struct probe_rules rules = {
	        .interval = conf->check_interval,
	        .timeout = conf->check_timeout,
	        .failures = (unsigned)conf->failure_threshold,
	        .recoveries = (unsigned)conf->recovery_threshold,
	};

	all.conf = conf;
	all.count = (unsigned)conf->n_instances;
	for (unsigned i = 0; i < all.count; i++) {
		struct instance *in = &all.list[i];

		in->index = i;
		in->name = mem_string(conf->instances[i].name);
		in->up = health_upstream(conf, conf->instances[i].url);
		in->figures.since_wall_ms = clock_wall_ms();
		in->figures.identity = "unknown";
		snprintf(in->figures.reason, sizeof(in->figures.reason),
		         "not probed yet");
		probe_start(in, &rules);
		canary_start(in);
	}
}

void health_stop(void)
{
	now_stop();
	for (unsigned i = 0; i < all.count; i++) {
		struct instance *in = &all.list[i];

		probe_stop(in);
		marker_stop(in);
		canary_stop(in);
		timer_stop(&in->tell);
		timer_stop(&in->out_over);
		upstream_destroy(&in->up);
		free(in->name);
	}
	memset(&all, 0, sizeof(all));
	marker_registrar = NULL;
}

void health_on_change(health_change_fn *fn, void *arg)
{
	assert(all.n_listeners < LISTENERS);
	all.listeners[all.n_listeners].fn = fn;
	all.listeners[all.n_listeners++].arg = arg;
}

static void on_tell(void *arg)
{
	struct instance *in = arg;
	enum health was = in->told;
	bool writable = instance_writable(in);

	if (was == in->health && in->told_writable == writable)
		return; /* there and back before anybody was told */
	in->told = in->health;
	in->told_writable = writable;
	for (unsigned i = 0; i < all.n_listeners; i++)
		all.listeners[i].fn(in, was, all.listeners[i].arg);
}

void set_health(struct instance *in, enum health now, const char *why)
{
	struct log_field fields[] = {{"instance", in->name, 0}, {0}};
	enum health was = in->health;

	if (now == was || (in->out.is && now != HEALTH_DOWN))
		return;
	in->health = now;
	in->figures.since_wall_ms = clock_wall_ms();
	snprintf(in->figures.reason, sizeof(in->figures.reason), "%s", why);
	log_line(now == HEALTH_DOWN ? LOG_WARN : LOG_INFO, "health", fields,
	         "instance %s: %s -> %s (%s)", in->name, health_text(was),
	         health_text(now), why);
	timer_start(&in->tell, 0, on_tell, in);
	if (now == HEALTH_UP)
		canary_up(in, was);
	if (now != HEALTH_DOWN)
		return;
	in->down_since = clock_ms();
	probe_forget(in);
	marker_forget(in, why);
	if (!in->out.is)
		upstream_abort(in->up, why);
}

/* --- by hand ----------------------------------------------------------------------- */

static void on_out_over(void *arg)
{
	instance_put_back(arg);
}

static void keep_out(struct instance *in, msec wait)
{
	int64_t now = clock_wall_ms();

	in->out.until_wall_ms = wait > 0 ? now + (int64_t)wait : 0;
	if (wait > 0)
		timer_start(&in->out_over, wait, on_out_over, in);
	else
		timer_stop(&in->out_over);
}

void instance_take_out(struct instance *in, msec wait, const char *by)
{
	char why[sizeof(in->figures.reason)];

	keep_out(in, wait);
	if (in->out.is)
		return;
	in->out.is = true;
	in->out.since_wall_ms = clock_wall_ms();
	snprintf(in->out.by, sizeof(in->out.by), "%s", by);
	snprintf(why, sizeof(why), "taken out by %s", by);
	log_warn("health", "instance %s: %s", in->name, why);
	if (in->health == HEALTH_DOWN)
		marker_forget(in, why);
	set_health(in, HEALTH_DOWN, why);
	snprintf(in->figures.reason, sizeof(in->figures.reason), "%s", why);
}

void instance_put_back(struct instance *in)
{
	if (!in->out.is)
		return;
	timer_stop(&in->out_over);
	in->out = (struct instance_out){.is = false};
	snprintf(in->figures.reason, sizeof(in->figures.reason), "put back");
	log_info("health", "instance %s: put back", in->name);
	probe_hurry(in);
}

struct instance_out instance_out(const struct instance *in)
{
	return in->out;
}

/* That it is to be proven belongs to its coming up, which has its own line. */
static void log_writing(const struct instance *in, enum writing was)
{
	struct log_field fields[] = {{"instance", in->name, 0}, {0}};
	const char *why = in->figures.write_reason;

	if (in->writing == WRITING_FAILS)
		log_line(LOG_WARN, "health", fields,
		         "instance %s: answers, but does not take writes (%s)", in->name,
		         why);
	else if (in->writing == WRITING_WELL && was == WRITING_FAILS)
		log_line(LOG_INFO, "health", fields,
		         "instance %s: takes writes again (%s)", in->name, why);
	else if (in->writing == WRITING_WELL)
		log_line(LOG_INFO, "health", fields, "instance %s: takes writes (%s)",
		         in->name, why);
}

void set_writing(struct instance *in, enum writing now, const char *why)
{
	enum writing was = in->writing;

	if (now == was)
		return;
	in->writing = now;
	snprintf(in->figures.write_reason, sizeof(in->figures.write_reason), "%s", why);
	log_writing(in, was);
	timer_start(&in->tell, 0, on_tell, in);
}

unsigned health_count(void)
{
	return all.count;
}

struct instance *health_instance(unsigned i)
{
	assert(i < all.count);
	return &all.list[i];
}

unsigned instance_index(const struct instance *in)
{
	return in->index;
}

const char *instance_name(const struct instance *in)
{
	return in->name;
}

enum health instance_health(const struct instance *in)
{
	return in->health;
}

bool instance_up(const struct instance *in)
{
	return in->health == HEALTH_UP;
}

bool instance_writable(const struct instance *in)
{
	return instance_up(in) && in->writing == WRITING_WELL;
}

msec instance_away(const struct instance *in)
{
	return in->health == HEALTH_DOWN ? clock_ms() - in->down_since : INT64_MAX;
}

bool instance_doubted(const struct instance *in)
{
	return instance_up(in) && in->probe.suspect;
}

bool instance_answers(const struct instance *in)
{
	return in->answers && !in->out.is;
}

void instance_pardon(struct instance *in, bool yes)
{
	in->pardoned = yes;
}

struct upstream *instance_upstream(const struct instance *in)
{
	return in->up;
}

unsigned health_up_count(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < all.count; i++)
		n += instance_up(&all.list[i]) ? 1 : 0;
	return n;
}

bool health_known(void)
{
	for (unsigned i = 0; i < all.count; i++)
		if (all.list[i].health == HEALTH_UNKNOWN)
			return false;
	return true;
}

bool health_is_lost(int http)
{
	return http == 404 || http == 412;
}

enum health_signal health_signal_of(const struct reply *reply)
{
	switch (reply->status) {
	case STATUS_OK:
		/* 501 is a definite answer: this Chroma does not offer that */
		return reply->http >= 500 && reply->http != 501 ? SIGNAL_ERROR_5XX
		                                                : SIGNAL_ANSWERED;
	case STATUS_REFUSED:
		return SIGNAL_REFUSED;
	case STATUS_TIMED_OUT:
		return SIGNAL_TIMED_OUT;
	case STATUS_NOT_RESOLVED:
	case STATUS_TLS_FAILED:
	case STATUS_BROKEN:
	case STATUS_BAD_REPLY:
		return SIGNAL_BROKEN;
	default:
		return SIGNAL_ANSWERED;
	}
}

void describe_end(const char *who, const struct reply *reply, char *why, size_t room)
{
	if (reply->status == STATUS_OK)
		snprintf(why, room, "%s: HTTP %d", who, reply->http);
	else if (reply->detail[0] != '\0')
		snprintf(why, room, "%s: %s: %s", who, status_text(reply->status),
		         reply->detail);
	else
		snprintf(why, room, "%s: %s", who, status_text(reply->status));
}

void health_report(struct instance *in, enum health_signal signal, const char *detail)
{
	in->figures.signals[signal]++;
	if (signal == SIGNAL_ANSWERED || in->health == HEALTH_DOWN)
		return;
	if (signal == SIGNAL_REFUSED) {
		set_health(in, HEALTH_DOWN, "connection refused");
		probe_hurry(in);
		return;
	}
	log_debug("health", "instance %s: in doubt (%s)", in->name, detail);
	probe_doubt(in);
	canary_doubt(in);
}

/* `even`: whatever they have to do. */
static struct instance *choose_by(double chance, unsigned turn, bool even,
                                  health_pick_fn *may_serve, void *arg)
{
	struct candidate list[CONF_MAX_INSTANCES];
	unsigned chosen;

	for (unsigned i = 0; i < all.count; i++) {
		const struct instance *in = &all.list[i];
		struct upstream_figures f = upstream_figures(in->up);

		list[i].may_serve = instance_up(in) && may_serve(in, arg);
		list[i].load = even ? 0 : f.open - f.idle + f.waiting;
	}
	chosen = choose(list, all.count, (enum conf_strategy)all.conf->strategy,
	                all.conf->read_replica_ratio, chance, turn);
	return chosen != CHOOSE_NONE ? &all.list[chosen] : NULL;
}

struct instance *health_choose_read(health_pick_fn *may_serve, void *arg)
{
	return choose_by(random_unit(), all.turn++, false, may_serve, arg);
}

/* The share of the replica is one of the collections then. */
struct instance *health_choose_read_of(uint64_t key, health_pick_fn *may_serve, void *arg)
{
	uint64_t z = key * 0x9e3779b97f4a7c15u;

	if (!all.conf->read_affinity)
		return health_choose_read(may_serve, arg);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z ^= z >> 31;
	return choose_by((double)(z >> 11) * 0x1.0p-53, (unsigned)z, true, may_serve,
	                 arg);
}

struct instance_figures instance_figures(const struct instance *in)
{
	return in->figures;
}

void instance_count(struct instance *in, bool read, bool success)
{
	struct instance_figures *f = &in->figures;

	f->requests++;
	f->reads += read ? 1 : 0;
	f->writes += read ? 0 : 1;
	f->successes += success ? 1 : 0;
	f->failures += success ? 0 : 1;
	f->write_failures += read || success ? 0 : 1;
}

/* core/notify.c - a service manager is told how we are.
 *
 * The happy path:
 *   notify_start     whoever started us listens at $NOTIFY_SOCKET
 *   on_look          is it ready by now? Once it is: READY=1
 *   on_beat          WATCHDOG=1, twice in the time the manager gives us
 *   notify_stopping  STOPPING=1; the loop goes on, and so do the beats
 * When it does not go well:
 *   - the loop is stuck: its timers are, too, so no beat comes and the manager acts
 *   - the socket is full, or nobody is there: said again with the next look or beat
 *
 * A message is one datagram to a Unix socket, by its path or, behind an @, by an abstract
 * name. That is all the library would do for us. */
#include "core/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "core/timer.h"

#define LOOK_MS 100u
#define BEAT_LEAST_MS 10u
#define BEAT_MOST_MS 3600000u

static struct {
	struct sockaddr_un to;
	socklen_t to_len; /* 0: nobody listens */
	bool (*ready)(void);
	msec every; /* beat; 0: none is wanted */
	struct timer look, beat;
} notify;

/* True: the manager has it. */
static bool tell(const char *what)
{
	int fd;
	ssize_t sent;

	if (notify.to_len == 0)
		return true;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	sent = sendto(fd, what, strlen(what), MSG_NOSIGNAL,
	              (const struct sockaddr *)&notify.to, notify.to_len);
	if (sent < 0)
		log_debug("notify", "%s is not heard: %s", what, strerror(errno));
	close(fd);
	return sent >= 0;
}

static void on_look(void *arg)
{
	(void)arg;
	if (!notify.ready() || !tell("READY=1"))
		timer_start(&notify.look, LOOK_MS, on_look, NULL);
}

static void on_beat(void *arg)
{
	(void)arg;
	tell("WATCHDOG=1");
	timer_start(&notify.beat, notify.every, on_beat, NULL);
}

/* False: it is no name of a Unix socket. */
static bool find_manager(const char *name)
{
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len < 2 ||
	    len >= sizeof(notify.to.sun_path))
		return false;
	notify.to = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(notify.to.sun_path, name, len);
	notify.to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (name[0] == '@')
		notify.to.sun_path[0] = '\0';
	return true;
}

/* Half the time after which the manager would act; 0: it does not watch us. */
static msec beats(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	unsigned long long half;

	if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
		return 0;
	half = strtoull(usec, NULL, 10) / 2000;
	if (half == 0)
		return 0;
	if (half < BEAT_LEAST_MS)
		return BEAT_LEAST_MS;
	return half < BEAT_MOST_MS ? (msec)half : BEAT_MOST_MS;
}

void notify_start(bool (*ready)(void))
{
	const char *name = getenv("NOTIFY_SOCKET");

	notify.ready = ready;
	if (name == NULL || name[0] == '\0')
		return;
	if (!find_manager(name)) {
		log_warn("notify", "NOTIFY_SOCKET is not understood");
		return;
	}
	notify.every = beats();
	on_look(NULL);
	if (notify.every > 0)
		on_beat(NULL);
}

void notify_stopping(void)
{
	timer_stop(&notify.look); /* READY would be heard as: it has changed its mind */
	tell("STOPPING=1");
}

void notify_stop(void)
{
	timer_stop(&notify.look);
	timer_stop(&notify.beat);
	notify.to_len = 0;
}

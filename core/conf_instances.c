/* core/conf_instances.c - who the instances are: INSTANCES, or PRIMARY_URL and
 * REPLICA_URL. Their order is the order of preference. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/conf_check.h"
#include "core/mem.h"
#include "core/upstream_private.h"

#define NAME_MOST 32u

static void add_instance(struct conf *conf, const char *name, const char *url)
{
	struct conf_instance *in = &conf->instances[conf->n_instances++];

	in->name = mem_string(name);
	in->url = mem_string(url);
}

/* Names are labels of metrics and parts of paths. */
static bool is_good_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= NAME_MOST && name[0] >= 'a' && name[0] <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

static bool name_is_taken(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_instances; i++)
		if (strcmp(conf->instances[i].name, name) == 0)
			return true;
	return false;
}

/* What was meant as a name may be a URL with a password and an = in it. */
static void add_name(struct text *errors, const char *name)
{
	char *shown = conf_redact_url(name);

	text_adds(errors, "INSTANCES: ");
	conf_add_quoted(errors, shown);
	free(shown);
}

static void check_name(const struct conf *conf, const char *name, struct text *errors)
{
	if (is_good_name(name) && !name_is_taken(conf, name))
		return;
	add_name(errors, name);
	if (is_good_name(name))
		text_adds(errors, " is there twice\n");
	else
		text_adds(errors,
		          " is not a name: lower-case letters, digits, - and _, a "
		          "letter first, 32 at most\n");
}

static void check_url(const char *name, const char *url, struct text *errors)
{
	char *wrong = upstream_check_url(url), *shown;

	if (wrong == NULL)
		return;
	shown = conf_redact_url(url);
	add_name(errors, name);
	text_adds(errors, ": ");
	conf_add_quoted(errors, shown);
	text_addf(errors, ": %s\n", wrong);
	free(shown);
	free(wrong);
}

/* One "name=url", already without spaces around. */
static void take_entry(struct conf *conf, char *entry, struct text *errors)
{
	char *equals = strchr(entry, '=');
	const char *url = equals != NULL ? equals + 1 : "";

	if (equals != NULL)
		*equals = '\0';
	if (equals == NULL) {
		add_name(errors, entry);
		text_adds(errors, " is not name=url\n");
		return;
	}
	check_name(conf, entry, errors);
	check_url(entry, url, errors);
	if (conf->n_instances < CONF_MAX_INSTANCES)
		add_instance(conf, entry, url);
	else
		text_addf(errors, "INSTANCES: no more than %u instances\n",
		          CONF_MAX_INSTANCES);
}

static void split(struct conf *conf, struct text *errors)
{
	char *all = mem_string(conf->instances_text), *rest = all, *entry;

	while ((entry = strsep(&rest, ",")) != NULL) {
		size_t len;

		entry += strspn(entry, " \t\r\n");
		len = strcspn(entry, " \t\r\n");
		if (entry[len + strspn(entry + len, " \t\r\n")] == '\0')
			entry[len] = '\0';
		take_entry(conf, entry, errors);
	}
	free(all);
}

static void take_pair(struct conf *conf, struct text *errors)
{
	bool primary = conf_is_set(conf, "PRIMARY_URL");
	bool replica = conf_is_set(conf, "REPLICA_URL");

	if (!primary && !replica) {
		text_adds(errors,
		          "PRIMARY_URL and REPLICA_URL, or INSTANCES, are required: "
		          "where the Chroma servers are\n");
	} else if (!primary || !replica) {
		text_addf(errors, "%s is missing: %s alone makes no pair\n",
		          primary ? "REPLICA_URL" : "PRIMARY_URL",
		          primary ? "PRIMARY_URL" : "REPLICA_URL");
	} else if (conf->primary_url != NULL && conf->replica_url != NULL) {
		add_instance(conf, "primary", conf->primary_url);
		add_instance(conf, "replica", conf->replica_url);
	}
}

static bool same_server(const char *a, const char *b)
{
	struct upstream_address x, y;
	char *wrong_x = upstream_address_parse(&x, a);
	char *wrong_y = upstream_address_parse(&y, b);
	bool same = wrong_x == NULL && wrong_y == NULL && x.port == y.port &&
	            strcasecmp(x.host, y.host) == 0;

	free(wrong_x);
	free(wrong_y);
	upstream_address_clear(&x);
	upstream_address_clear(&y);
	return same;
}

static void add_same(struct text *errors, const char *a, const char *b)
{
	text_adds(errors, "instances ");
	conf_add_quoted(errors, a);
	text_adds(errors, " and ");
	conf_add_quoted(errors, b);
	text_adds(errors, " are the same server\n");
}

/* Two names for one server would apply every write to it twice. */
static void check_different(const struct conf *conf, struct text *errors)
{
	for (size_t i = 0; i < conf->n_instances; i++)
		for (size_t j = 0; j < i; j++) {
			const struct conf_instance *a = &conf->instances[j];
			const struct conf_instance *b = &conf->instances[i];

			if (same_server(a->url, b->url))
				add_same(errors, a->name, b->name);
		}
}

void conf_list_instances(struct conf *conf, struct text *errors)
{
	if (!conf_is_set(conf, "INSTANCES")) {
		take_pair(conf, errors);
	} else if (conf_is_set(conf, "PRIMARY_URL") || conf_is_set(conf, "REPLICA_URL")) {
		text_adds(errors,
		          "INSTANCES and PRIMARY_URL or REPLICA_URL are both set; "
		          "keep one way\n");
	} else {
		split(conf, errors);
	}
	check_different(conf, errors);
}

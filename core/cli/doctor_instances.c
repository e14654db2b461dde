/* core/cli/doctor_instances.c - each Chroma, as the proxy would see it; only read. */
#include <stdlib.h>
#include <string.h>

#include "core/cli/doctor.h"
#include "core/mem.h"

#define V2 "/api/v2"

struct patient {
	struct doctor *d;
	struct upstream *up;
	const char *name;
	char *about;
};

static bool get(struct patient *p, const char *target, struct answer *a)
{
	return ask_of(p->up, "GET", target, NULL, a);
}

/* --- does it answer, and is it a Chroma? ------------------------------------------- */

static bool has_heartbeat(struct patient *p)
{
	struct answer a;
	bool good = get(p, V2 "/heartbeat", &a);
	json_t *body = good ? answer_json(&a) : NULL;

	if (json_is_object(body) && json_object_size(body) > 0)
		doctor_find(p->d, FINDING_GOOD, p->about, NULL, "it answers");
	else if (a.status != STATUS_OK)
		doctor_find(p->d, FINDING_WRONG, p->about,
		            "Is it running, and do the settings say where (PRIMARY_URL, "
		            "REPLICA_URL, INSTANCES)?",
		            "%s does not answer: %s%s%s", upstream_url(p->up),
		            status_text(a.status), a.detail != NULL ? ": " : "",
		            a.detail != NULL ? a.detail : "");
	else
		doctor_find(
		        p->d, FINDING_WRONG, p->about,
		        "Is it a Chroma with the API v2, and is UPSTREAM_TOKEN right?",
		        "%s answers its heartbeat with HTTP %d", upstream_url(p->up),
		        a.http);
	good = json_is_object(body);
	json_decref(body);
	answer_clear(&a);
	return good;
}

/* A Chroma says 1.0.0, whatever it is. */
static void look_at_version(struct patient *p)
{
	struct answer a;
	json_t *version = get(p, V2 "/version", &a) ? answer_json(&a) : NULL;

	if (json_is_string(version))
		doctor_find(p->d, FINDING_GOOD, p->about, NULL,
		            "it says it is version %s", json_string_value(version));
	else
		doctor_find(p->d, FINDING_WRONG, p->about, "Is it a Chroma?",
		            "it does not say its version (HTTP %d)", a.http);
	json_decref(version);
	answer_clear(&a);
}

static void look_at_tenant(struct patient *p)
{
	struct answer a;

	if (get(p, V2 "/tenants/default_tenant", &a))
		doctor_find(p->d, FINDING_GOOD, p->about, NULL,
		            "its data can be read: default_tenant is there");
	else
		doctor_find(p->d, FINDING_WRONG, p->about, "Look at its log and its disk",
		            "default_tenant cannot be read (HTTP %d)", a.http);
	answer_clear(&a);
}

/* --- its marker -------------------------------------------------------------------- */

/* HTTP 404: it bears none. 0: that cannot be said. */
static int read_marker(struct patient *p, struct marker *m)
{
	struct blob *question = blob_create(MARKER_QUESTION, strlen(MARKER_QUESTION));
	struct answer a;
	json_t *collection = get(p, MARKER_COLLECTION, &a) ? answer_json(&a) : NULL;
	char *target =
	        mem_format(MARKER_COLLECTIONS "/%s/get", json_text_of(collection, "id"));
	int http = a.http;
	size_t items;

	*m = (struct marker){0};
	answer_clear(&a);
	if (collection != NULL) {
		http = ask_of(p->up, "POST", target, question, &a) &&
		                       marker_parse(a.body, m, &items)
		               ? 200
		               : 0;
		answer_clear(&a);
	}
	free(target);
	json_decref(collection);
	blob_unref(&question);
	return http;
}

static const struct doctor_marker *expected(const struct patient *p)
{
	for (unsigned k = 0; k < p->d->n_markers; k++)
		if (strcmp(p->d->markers[k].name, p->name) == 0)
			return &p->d->markers[k];
	return NULL;
}

static bool is_twice(struct patient *p, const struct marker *m)
{
	for (unsigned k = 0; k < p->d->n_seen; k++)
		if (uuid_compare(&p->d->seen[k], &m->instance) == 0)
			return true;
	p->d->seen[p->d->n_seen++] = m->instance;
	return false;
}

static void judge_without(struct patient *p)
{
	const struct doctor_marker *want = expected(p);

	if (want != NULL && want->marked)
		doctor_find(
		        p->d, FINDING_WRONG, p->about,
		        "If its disk was lost, the proxy fills it again by itself; else "
		        "let "
		        "the settings name the right server",
		        "it bears no marker, but had one: it has lost its data, or is "
		        "another server");
	else
		doctor_find(p->d, FINDING_NOTE, p->about, NULL,
		            "it bears no marker yet; the first start writes it");
}

static void judge(struct patient *p, const struct marker *m)
{
	const struct doctor_marker *want = expected(p);

	if (is_twice(p, m))
		doctor_find(
		        p->d, FINDING_WRONG, p->about,
		        "Each instance needs a server and a disk of its own",
		        "it is the same server as another instance, or has a copy of its "
		        "disk");
	else if (uuid_none(&p->d->cluster))
		doctor_find(p->d, FINDING_NOTE, p->about, NULL,
		            "it belongs to cluster %s; what the log says is not known",
		            m->cluster.text);
	else if (uuid_compare(&m->cluster, &p->d->cluster) != 0)
		doctor_find(p->d, FINDING_WRONG, p->about,
		            "Let the settings name the right database and servers; what "
		            "ADOPT_CLUSTER is for: CONFIGURATION.md",
		            "it belongs to another cluster, %s", m->cluster.text);
	else if (want == NULL || uuid_compare(&m->instance, &want->id) != 0)
		doctor_find(p->d, FINDING_WRONG, p->about,
		            "Are two URLs exchanged? Give each name the server it had",
		            "its marker is not that of %s", p->name);
	else
		doctor_find(p->d, FINDING_GOOD, p->about, NULL, "its marker is right");
}

static void look_at_marker(struct patient *p)
{
	struct marker m;
	int http = read_marker(p, &m);

	if (m.there)
		judge(p, &m);
	else if (http == 404 || http == 200)
		judge_without(p);
	else
		doctor_find(p->d, FINDING_WRONG, p->about, "Look at its log and its disk",
		            "its marker cannot be read (HTTP %d)", http);
}

/* --- all of them ------------------------------------------------------------------- */

static void look(struct doctor *d, const struct conf_instance *in)
{
	struct patient p = {.d = d, .name = in->name};

	p.up = health_upstream(&d->conf, in->url);
	p.about = mem_format("instance %s", in->name);
	if (has_heartbeat(&p)) {
		look_at_version(&p);
		look_at_tenant(&p);
		look_at_marker(&p);
	}
	free(p.about);
	upstream_destroy(&p.up);
}

void doctor_instances(struct doctor *d)
{
	for (size_t k = 0; k < d->conf.n_instances; k++)
		look(d, &d->conf.instances[k]);
	if (d->conf.allow_reset)
		doctor_find(d, FINDING_NOTE, "instances", NULL,
		            "ALLOW_RESET is on: a client may empty everything, if the "
		            "instances "
		            "allow it too (`allow_reset`), which cannot be seen without "
		            "doing "
		            "it. They must agree");
}

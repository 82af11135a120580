/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of access-list entries: a sorted array, searched by bisection. Prefixed entries for a
 * name are found by walking down: the greatest prefix not above the name, then the greatest not
 * above what both have in common, and so on, each step by bisection.
 */
#include "broker/auth/acl.h"
#include <arpa/inet.h>

/* ---- one entry ------------------------------------------------------------------------------- */

static bool is_address(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool hex =
		    (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
		if (!hex && c != '.' && c != ':')
			return false;
	}
	return s.len > 0;
}

enum err acl_check(const struct acl *a)
{
	if (a->resource < ACL_TOPIC || a->resource > ACL_TRANSACTIONAL_ID)
		return err_note(ERR_INVALID_REQUEST, "unknown resource type %d", a->resource);
	if (a->pattern != ACL_LITERAL && a->pattern != ACL_PREFIXED)
		return err_note(
		    ERR_INVALID_REQUEST, "pattern type %d: 3 literal or 4 prefixed", a->pattern);
	if (a->operation < ACL_ALL || a->operation > ACL_IDEMPOTENT_WRITE)
		return err_note(ERR_INVALID_REQUEST, "unknown operation %d", a->operation);
	if (a->permission != ACL_DENY && a->permission != ACL_ALLOW)
		return err_note(
		    ERR_INVALID_REQUEST, "permission %d: 2 deny or 3 allow", a->permission);
	if (a->name.len == 0 || a->name.len > ACL_STRING_MAX)
		return err_note(ERR_INVALID_REQUEST, "resource name of %zu bytes", a->name.len);
	if (a->resource == ACL_CLUSTER && !str_equal(a->name, ACL_CLUSTER_NAME))
		return err_note(ERR_INVALID_REQUEST, "the cluster's name is kafka-cluster");
	if (a->principal.len <= 5 || a->principal.len > ACL_STRING_MAX ||
	    memcmp(a->principal.ptr, "User:", 5) != 0)
		return err_note(ERR_INVALID_REQUEST, "a principal is User:NAME, or User:* for all");
	if (!str_equal(a->host, STR("*")) && (a->host.len > 64 || !is_address(a->host)))
		return err_note(ERR_INVALID_REQUEST, "a host is an address, or * for all");
	return ERR_OK;
}

enum err acl_host_read(struct str host, char text[ACL_HOST_MAX], struct str *ret_host)
{
	_Static_assert(ACL_HOST_MAX >= INET6_ADDRSTRLEN, "an address fits");
	struct in6_addr v6;
	struct in_addr v4;
	*ret_host = STR("*");
	if (str_equal(host, *ret_host))
		return ERR_OK;
	bool fits = host.len > 0 && host.len < ACL_HOST_MAX && !memchr(host.ptr, 0, host.len);
	if (fits) {
		memcpy(text, host.ptr, host.len);
		text[host.len] = '\0';
	}
	bool is_v4 = fits && inet_pton(AF_INET, text, &v4) == 1;
	bool is_v6 = fits && !is_v4 && inet_pton(AF_INET6, text, &v6) == 1;
	if (is_v6 && IN6_IS_ADDR_V4MAPPED(&v6)) {
		memcpy(&v4, &v6.s6_addr[12], sizeof(v4));
		is_v4 = true;
	}
	if (is_v4)
		ASSERT(inet_ntop(AF_INET, &v4, text, ACL_HOST_MAX));
	else if (is_v6)
		ASSERT(inet_ntop(AF_INET6, &v6, text, ACL_HOST_MAX));
	else
		return err_note(ERR_INVALID_REQUEST, "a host is an address, or * for all");
	*ret_host = str_of(text);
	return ERR_OK;
}

static int compare_names(struct str a, struct str b)
{
	return bytes_compare(str_bytes(a), str_bytes(b));
}

/* By resource, pattern and name. */
static int compare_places(const struct acl *a, const struct acl *b)
{
	if (a->resource != b->resource)
		return a->resource < b->resource ? -1 : 1;
	if (a->pattern != b->pattern)
		return a->pattern < b->pattern ? -1 : 1;
	return compare_names(a->name, b->name);
}

static int compare(const struct acl *a, const struct acl *b)
{
	int order = compare_places(a, b);
	if (order == 0)
		order = compare_names(a->principal, b->principal);
	if (order == 0)
		order = compare_names(a->host, b->host);
	if (order == 0)
		order = a->operation - b->operation;
	return order != 0 ? order : a->permission - b->permission;
}

/* ---- filters --------------------------------------------------------------------------------- */

enum err acl_filter_check(const struct acl_filter *f)
{
	if (f->resource < ACL_RESOURCE_ANY || f->resource > ACL_TRANSACTIONAL_ID)
		return err_note(ERR_INVALID_REQUEST, "unknown resource type %d", f->resource);
	if (f->pattern < ACL_PATTERN_ANY || f->pattern > ACL_PREFIXED)
		return err_note(ERR_INVALID_REQUEST, "unknown pattern type %d", f->pattern);
	if (f->operation < ACL_OPERATION_ANY || f->operation > ACL_IDEMPOTENT_WRITE)
		return err_note(ERR_INVALID_REQUEST, "unknown operation %d", f->operation);
	if (f->permission < ACL_PERMISSION_ANY || f->permission > ACL_ALLOW)
		return err_note(ERR_INVALID_REQUEST, "unknown permission %d", f->permission);
	return ERR_OK;
}

static bool speaks_of(const struct acl *a, struct str name)
{
	if (a->pattern == ACL_PREFIXED)
		return a->name.len <= name.len && memcmp(a->name.ptr, name.ptr, a->name.len) == 0;
	return str_equal(a->name, name) || str_equal(a->name, STR("*"));
}

static bool filter_takes_name(const struct acl_filter *f, const struct acl *a)
{
	if (f->pattern == ACL_PATTERN_MATCH)
		return !f->name.ptr || speaks_of(a, f->name);
	if (f->pattern != ACL_PATTERN_ANY && f->pattern != a->pattern)
		return false;
	return !f->name.ptr || str_equal(f->name, a->name);
}

bool acl_filter_matches(const struct acl_filter *f, const struct acl *a)
{
	return (f->resource == ACL_RESOURCE_ANY || f->resource == a->resource) &&
	       filter_takes_name(f, a) &&
	       (!f->principal.ptr || str_equal(f->principal, a->principal)) &&
	       (!f->host.ptr || str_equal(f->host, a->host) ||
	           (a->address.ptr && str_equal(f->host, a->address))) &&
	       (f->operation == ACL_OPERATION_ANY || f->operation == a->operation) &&
	       (f->permission == ACL_PERMISSION_ANY || f->permission == a->permission);
}

/* ---- the set --------------------------------------------------------------------------------- */

void acl_set_release(struct acl_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		mem_free(set->at[i]);
	mem_free(set->at);
	*set = (struct acl_set){0};
}

/* The first entry that is not below `a` by `order`. */
static size_t lower_bound(const struct acl_set *set, const struct acl *a,
    int (*order)(const struct acl *, const struct acl *))
{
	size_t low = 0, high = set->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (order(set->at[mid], a) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct str put_string(char **at, struct str s)
{
	struct str copy = str_from(*at, s.len);
	memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

static struct acl *copy_of(const struct acl *a)
{
	char text[ACL_HOST_MAX];
	struct str address = {NULL, 0};
	if (acl_host_read(a->host, text, &address) != ERR_OK) {
		address = (struct str){NULL, 0};
		err_clear();
	}
	struct acl *copy =
	    mem_alloc(sizeof(*copy) + a->name.len + a->principal.len + a->host.len + address.len);
	if (!copy)
		return NULL;
	char *at = (char *)(copy + 1);
	*copy = *a;
	copy->name = put_string(&at, a->name);
	copy->principal = put_string(&at, a->principal);
	copy->host = put_string(&at, a->host);
	copy->address = address.ptr ? put_string(&at, address) : address;
	return copy;
}

static enum err grow(struct acl_set *set)
{
	if (set->count >= ACLS_MAX)
		return err_note(ERR_LIMIT, "%d access-list entries", ACLS_MAX);
	if (set->count < set->capacity)
		return ERR_OK;
	size_t capacity = set->capacity ? 2 * set->capacity : 16;
	struct acl **at = mem_realloc(set->at, capacity * sizeof(struct acl *));
	if (!at)
		return ERR_NOMEM;
	set->at = at;
	set->capacity = capacity;
	return ERR_OK;
}

enum err acl_set_add(struct acl_set *set, const struct acl *a)
{
	size_t i = lower_bound(set, a, compare);
	if (i < set->count && compare(set->at[i], a) == 0)
		return ERR_OK;
	TRY(grow(set));
	struct acl *copy = copy_of(a);
	if (!copy)
		return ERR_NOMEM;
	memmove(&set->at[i + 1], &set->at[i], (set->count - i) * sizeof(struct acl *));
	set->at[i] = copy;
	set->count++;
	set->hosts += !str_equal(a->host, STR("*"));
	return ERR_OK;
}

void acl_set_remove(struct acl_set *set, const struct acl *a)
{
	size_t i = lower_bound(set, a, compare);
	if (i == set->count || compare(set->at[i], a) != 0)
		return;
	set->hosts -= !str_equal(set->at[i]->host, STR("*"));
	mem_free(set->at[i]);
	set->count--;
	memmove(&set->at[i], &set->at[i + 1], (set->count - i) * sizeof(struct acl *));
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static bool implies(uint8_t granted, enum acl_operation asked)
{
	if (granted == ACL_ALL || granted == asked)
		return true;
	if (asked == ACL_DESCRIBE)
		return granted == ACL_READ || granted == ACL_WRITE || granted == ACL_DELETE ||
		       granted == ACL_ALTER;
	return asked == ACL_DESCRIBE_CONFIGS && granted == ACL_ALTER_CONFIGS;
}

/* The zone of a link-local address (fe80::1%eth0) is none of the entry's. */
static bool is_from(const struct acl *a, struct str host)
{
	const char *zone = host.len > 0 ? memchr(host.ptr, '%', host.len) : NULL;
	if (zone)
		host.len = (size_t)(zone - host.ptr);
	if (!a->address.ptr)
		return a->permission == ACL_DENY;
	return str_equal(a->address, STR("*")) || str_equal(a->address, host);
}

static bool is_for(const struct acl *a, const struct acl_query *q)
{
	return (str_equal(a->principal, q->principal) || str_equal(a->principal, ACL_EVERYBODY)) &&
	       is_from(a, q->host);
}

struct weighing {
	bool spoken_of, allowed, denied;
};

static void weigh(struct weighing *w, const struct acl *a, const struct acl_query *q)
{
	w->spoken_of = true;
	if (!is_for(a, q))
		return;
	if (a->permission == ACL_DENY)
		w->denied |= a->operation == ACL_ALL || a->operation == (uint8_t)q->operation;
	else
		w->allowed |= implies(a->operation, q->operation);
}

static void weigh_literal(
    const struct acl_set *set, const struct acl_query *q, struct str name, struct weighing *w)
{
	struct acl place = {.resource = (uint8_t)q->resource, .pattern = ACL_LITERAL, .name = name};
	size_t i = lower_bound(set, &place, compare_places);
	for (; i < set->count && compare_places(set->at[i], &place) == 0; i++)
		weigh(w, set->at[i], q);
}

static size_t common_len(struct str a, struct str b)
{
	size_t n = 0;
	while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n])
		n++;
	return n;
}

/* The first entry above all those at `place`. */
static size_t upper_bound(const struct acl_set *set, const struct acl *place)
{
	size_t low = lower_bound(set, place, compare_places), high = set->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (compare_places(set->at[mid], place) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void weigh_prefixed(const struct acl_set *set, const struct acl_query *q, struct weighing *w)
{
	struct acl place = {
	    .resource = (uint8_t)q->resource, .pattern = ACL_PREFIXED, .name = q->name};
	size_t i = upper_bound(set, &place);
	while (i > 0) {
		const struct acl *a = set->at[i - 1];
		if (a->resource != place.resource || a->pattern != ACL_PREFIXED)
			return;
		size_t common = common_len(a->name, q->name);
		if (common == a->name.len) {
			weigh(w, a, q);
			i--;
			continue;
		}
		place.name = str_from(q->name.ptr, common);
		i = upper_bound(set, &place);
	}
}

size_t acl_set_range(const struct acl_set *set, const struct acl_filter *f, size_t *ret_first)
{
	struct acl place = {.resource = f->resource, .pattern = f->pattern, .name = f->name};
	*ret_first = 0;
	if (f->resource == ACL_RESOURCE_ANY || f->pattern < ACL_LITERAL || !f->name.ptr)
		return set->count;
	*ret_first = lower_bound(set, &place, compare_places);
	return upper_bound(set, &place) - *ret_first;
}

enum acl_verdict acl_set_judge(const struct acl_set *set, const struct acl_query *q)
{
	struct weighing w = {0};
	if (set->count == 0)
		return ACL_VERDICT_NONE;
	weigh_literal(set, q, q->name, &w);
	if (!str_equal(q->name, STR("*")))
		weigh_literal(set, q, STR("*"), &w);
	weigh_prefixed(set, q, &w);
	if (!w.spoken_of)
		return ACL_VERDICT_NONE;
	return w.allowed && !w.denied ? ACL_VERDICT_ALLOW : ACL_VERDICT_DENY;
}

/*
 * An entry that allows counts only if no other one denies what it names: of a prefix all of it, by
 * the same or a shorter prefix, or by "*". As Kafka's authorizeByResourceType.
 */
bool acl_set_allows_some(const struct acl_set *set, const struct acl_query *q)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct acl *a = set->at[i];
		struct acl_query named = *q;
		struct weighing w = {0};
		if (a->resource != (uint8_t)q->resource || a->permission != ACL_ALLOW ||
		    !is_for(a, q) || !implies(a->operation, q->operation))
			continue;
		named.name = a->name;
		weigh_literal(set, &named, STR("*"), &w);
		weigh_prefixed(set, &named, &w);
		if (a->pattern == ACL_LITERAL)
			weigh_literal(set, &named, a->name, &w);
		if (!w.denied)
			return true;
	}
	return false;
}

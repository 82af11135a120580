/* SPDX-License-Identifier: Apache-2.0 */
/* What a group is subscribed to. Members of classic groups of consumers say it in what they send
 * each other: version i16, then an array of names (embedded.h has the rest). */
#include "subscribed.h"

static enum err add_member(struct subscribed *s, const struct group_member *m)
{
	struct reader r = reader_of(group_member_metadata(&s->entry->group, m));
	read_skip(&r, 2);
	int32_t count = read_i32_be(&r);
	for (int32_t i = 0; i < count && !r.bad; i++) {
		uint16_t len = read_u16_be(&r);
		struct bytes name = read_bytes(&r, len);
		if (!r.bad)
			TRY(map_put(&s->names, name, s));
	}
	s->all |= r.bad;
	return ERR_OK;
}

enum err subscribed_init(struct subscribed *s, const struct group_entry *e)
{
	*s = (struct subscribed){.entry = e};
	map_init(&s->names);
	if (e->consumer)
		return ERR_OK;
	LIST_EACH (&e->group.members, node, tmp)
		TRY(add_member(s, CONTAINER_OF(node, struct group_member, node)));
	return ERR_OK;
}

void subscribed_release(struct subscribed *s)
{
	map_release(&s->names);
}

bool subscribed_to(const struct subscribed *s, struct str name)
{
	if (!s->entry->consumer)
		return s->all || map_get(&s->names, str_bytes(name));
	const struct log_topic *topic = log_topic_find(s->entry->groups->log, name);
	return topic && consumer_is_subscribed(s->entry->consumer, topic);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The effect of each setting (settings.h S1). */
#include "broker/groups/groups.h"
#include "broker/kafka/server.h"
#include "broker/settings/settings.h"

static void obey_group(struct broker *b, struct str name)
{
	struct group_entry *e = b->groups ? entry_find(b->groups, name) : NULL;
	if (e)
		entry_take_settings(e);
}

static void obey_topic_default(struct broker *b, enum setting_id id)
{
	const char *key = setting_def(id)->topic_key;
	enum err err = log_default_config_set(b->log, str_of(key), settings_value(b->settings, id));
	if (err != ERR_OK) /* checked before it was stored: there is no memory */
		diag(DIAG_ERROR, "setting_not_obeyed", "key=%s err=%s", setting_def(id)->key,
		    err_name(err));
	err_clear();
}

void settings_obey(void *broker, enum setting_id id, const struct setting_owner *owner)
{
	struct broker *b = broker;
	if (owner->scope == SETTING_GROUP)
		obey_group(b, owner->group);
	else if (setting_def(id)->topic_key)
		obey_topic_default(b, id);
	else if (id == SETTING_CLEANER_BACKOFF)
		log_compact_interval_set(b->log, (int64_t)settings_number(b->settings, id) * MS_NS);
	else if (id == SETTING_CONNECTIONS)
		b->options.connections_max = (uint32_t)settings_number(b->settings, id);
	else if (id == SETTING_CONNECTIONS_PER_IP)
		b->options.connections_per_ip_max = (uint32_t)settings_number(b->settings, id);
	else
		ASSERT(!"a setting without an effect");
}

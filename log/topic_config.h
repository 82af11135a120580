/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Configuration of topics: the keys of topic_config.def, their text values as set by people, and
 * what they mean (struct log_topic_config). Value in force = the topic's own, else the server's
 * default, else the table's.
 */
#include "log/log.h"

enum topic_config_id {
#define CONFIG(id, key, kind, def, min, max, choices, obeyed, doc) TOPIC_CONFIG_##id,
#include "log/topic_config.def"
#undef CONFIG
	TOPIC_CONFIG_COUNT
};
enum { TOPIC_CONFIG_VALUE_MAX = 4096 };

/* Text values by key, NULL = not set. Owns them. A zeroed one is empty. */
struct topic_settings {
	char *value[TOPIC_CONFIG_COUNT];
};
void topic_settings_release(struct topic_settings *s);
/*
 * Checks `value` and sets it. ERR_INVALID_CONFIG with the reason in the chain: an unknown key (with
 * the nearest known one), a value of the wrong kind or out of range. ERR_NOMEM.
 */
MUST_USE enum err topic_settings_set(struct topic_settings *s, struct str key, struct str value);
/* A whole set of pairs, no key twice. *ret_settings is empty on failure. */
MUST_USE enum err topic_settings_parse(
    const struct str (*configs)[2], size_t count, struct topic_settings *ret_settings);
/* The text in force for a key; *ret_is_set (may be NULL) tells whether the topic's own. */
const char *topic_settings_get(const struct topic_settings *own,
    const struct topic_settings *defaults, enum topic_config_id id, bool *ret_is_set);
/* What it all means. Values have been checked when they were set. */
struct log_topic_config topic_settings_decode(
    const struct topic_settings *own, const struct topic_settings *defaults);
/* One warning for each key that is set away from its default and is not obeyed. */
void topic_settings_warn(const struct topic_settings *s, struct str topic);
const char *topic_config_key(enum topic_config_id id);
bool topic_config_by_key(struct str key, enum topic_config_id *ret_id);

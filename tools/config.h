/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The server's configuration: flag > environment (KAPPA_LOG_SEGMENT_BYTES) > file (-c FILE, else
 * <data>/kappa.conf, else /etc/kappa/kappa.conf) > default. One table of keys (config.def) gives
 * the parser, the environment names and the defaults. Kafka's keys where the meaning is equal, ours
 * under "kappa.". Keys of TLS stand for all listeners, or behind "listener.name.NAME." for one.
 */
#include "log/log.h"
#include "tools/cli.h"

enum config_key {
#define CONFIG(id, key, kind, def, doc) CONFIG_##id,
#include "tools/config.def"
#undef CONFIG
	CONFIG_COUNT
};

/* listener.name.NAME.KEY: a key of TLS for one listener alone. */
struct config_listener_key {
	char listener[64]; /* in small letters */
	enum config_key key;
	char *value;
};
enum { CONFIG_LISTENER_KEYS_MAX = 256 };
struct config {
	char *value[CONFIG_COUNT];        /* as text; NULL = default */
	const char *origin[CONFIG_COUNT]; /* "flag", "environment", "file", "default" */
	struct config_listener_key *listener_keys;
	size_t listener_key_count;
};

/* Reads environment and file, then the flags. ERR_INVALID_CONFIG with line and a suggestion on the
 * chain. */
MUST_USE enum err config_load(struct config *c, const struct cli *cli);
void config_release(struct config *c);
/* "log.segment.bytes" */
const char *config_name(enum config_key key);
const char *config_get(const struct config *c, enum config_key key);
/* The same for a listener: what it has of its own comes first. */
const char *config_get_of(const struct config *c, const char *listener, enum config_key key);
/* Checked at load: these cannot fail. */
int64_t config_number(const struct config *c, enum config_key key);
bool config_bool(const struct config *c, enum config_key key);
/* kappa.journal.dir as an absolute path in `buf`; NULL when it is empty, "" when it is too long. */
const char *config_journal_dir(const struct config *c, char *buf, size_t len);
/* "host:port", "ANY://host:port", ":port" (127.0.0.1) or "[v6]:port". ERR_INVALID. */
MUST_USE enum err config_address(const char *text, char *host, size_t host_len, uint16_t *ret_port);
/* Hands the topic defaults among the keys (log.segment.bytes ...) to the log. */
MUST_USE enum err config_topic_defaults(const struct config *c, struct log *log);

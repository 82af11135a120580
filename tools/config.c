/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/config.h"
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG_FILE_MAX = 1 << 20 };

enum kind { TEXT, NUMBER, BOOL, TOPIC_TEXT, TOPIC_NUMBER };

static const struct {
	const char *key;
	enum kind kind;
	const char *def;

} keys[] = {
#define CONFIG(id, key, kind, def, doc) {key, kind, def},
#include "tools/config.def"
#undef CONFIG
};
_Static_assert(sizeof keys / sizeof *keys == CONFIG_COUNT, "one row per key");

/* Kafka's keys that say something we would not do: ignoring security would be worse than not
 * starting. */
static const char *const refused[] = {"ssl.", "sasl.", "security.", "authorizer.", NULL};

struct load {
	struct config *c;
	const char *path;
	enum err err;
};

static enum err check_value(size_t k, const char *value)
{
	int64_t n = 0;
	bool number = keys[k].kind == NUMBER || keys[k].kind == TOPIC_NUMBER;
	if (number && !str_to_i64(str_of(value), &n))
		return err_note(
		    ERR_INVALID_CONFIG, "%s=%s: a whole number is expected", keys[k].key, value);
	if (number && keys[k].kind == NUMBER && n < 0)
		return err_note(
		    ERR_INVALID_CONFIG, "%s=%s: must not be negative", keys[k].key, value);
	if (k == CONFIG_JOURNAL_BYTES &&
	    ((uint64_t)n < JOURNAL_BYTES_MIN || (uint64_t)n > JOURNAL_BYTES_MAX))
		return err_note(ERR_INVALID_CONFIG, "%s=%s: %llu to %llu bytes", keys[k].key, value,
		    (unsigned long long)JOURNAL_BYTES_MIN, (unsigned long long)JOURNAL_BYTES_MAX);
	if (keys[k].kind == BOOL && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return err_note(
		    ERR_INVALID_CONFIG, "%s=%s: true or false is expected", keys[k].key, value);
	return ERR_OK;
}

static enum err set(struct config *c, size_t k, const char *value, const char *origin)
{
	TRY(check_value(k, value));
	char *copy = mem_strdup(str_of(value));
	if (!copy)
		return ERR_NOMEM;
	mem_free(c->value[k]);
	c->value[k] = copy;
	c->origin[k] = origin;
	return ERR_OK;
}

/* Characters in common at the front, as a cheap likeness. */
static const char *nearest(const char *key)
{
	const char *best = NULL;
	size_t best_score = 4;
	for (size_t k = 0; k < CONFIG_COUNT; k++) {
		size_t same = 0, tail = 0, a = strlen(key), b = strlen(keys[k].key);
		while (same < a && same < b && key[same] == keys[k].key[same])
			same++;
		while (tail < a - same && tail < b - same &&
		       key[a - 1 - tail] == keys[k].key[b - 1 - tail])
			tail++;
		if (same + tail > best_score) {
			best_score = same + tail;
			best = keys[k].key;
		}
	}
	return best;
}

/* ---- listener.name.NAME.KEY ------------------------------------------------------------------ */

static void small_letters(const char *from, size_t len, char *to)
{
	for (size_t i = 0; i < len; i++)
		to[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] + 32) : from[i];
	to[len] = 0;
}

static struct config_listener_key *listener_key(
    const struct config *c, const char *listener, enum config_key key)
{
	for (size_t i = 0; i < c->listener_key_count; i++) {
		struct config_listener_key *k = &c->listener_keys[i];
		if (k->key == key && strcmp(k->listener, listener) == 0)
			return k;
	}
	return NULL;
}

static enum err set_of_listener(
    struct config *c, const char *listener, enum config_key key, const char *value)
{
	TRY(check_value(key, value));
	struct config_listener_key *at = listener_key(c, listener, key);
	char *copy = mem_strdup(str_of(value));
	if (!copy)
		return ERR_NOMEM;
	if (!at && c->listener_key_count < CONFIG_LISTENER_KEYS_MAX) {
		void *more = mem_realloc(
		    c->listener_keys, (c->listener_key_count + 1) * sizeof(*c->listener_keys));
		if (more) {
			c->listener_keys = more;
			at = &c->listener_keys[c->listener_key_count++];
			*at = (struct config_listener_key){.key = key};
			memcpy(at->listener, listener, strlen(listener) + 1);
		}
	}
	if (!at) {
		mem_free(copy);
		return err_note(ERR_LIMIT, "keys of listeners");
	}
	mem_free(at->value);
	at->value = copy;
	return ERR_OK;
}

/* `rest` is "NAME.KEY". */
static enum err set_listener_key(struct config *c, const char *rest, const char *value)
{
	char listener[64];
	const char *dot = strchr(rest, '.');
	if (!dot || dot == rest || (size_t)(dot - rest) >= sizeof listener)
		return err_note(ERR_INVALID_CONFIG, "listener.name.%s: NAME.KEY is expected", rest);
	small_letters(rest, (size_t)(dot - rest), listener);
	for (size_t k = 0; k < CONFIG_COUNT; k++)
		if (strncmp(keys[k].key, "ssl.", 4) == 0 && strcmp(keys[k].key, dot + 1) == 0)
			return set_of_listener(c, listener, (enum config_key)k, value);
	return err_note(ERR_NOT_YET,
	    "listener.name.%s is not obeyed: a listener alone can have the keys that begin with "
	    "ssl. and are in broker/SECURITY.md",
	    rest);
}

const char *config_get_of(const struct config *c, const char *listener, enum config_key key)
{
	char name[64];
	size_t len = strlen(listener);
	ASSERT(len < sizeof name);
	small_letters(listener, len, name);
	const struct config_listener_key *own = listener_key(c, name, key);
	return own ? own->value : config_get(c, key);
}

/* ---- all keys -------------------------------------------------------------------------------- */

static enum err set_by_key(struct config *c, const char *key, const char *value, const char *origin)
{
	if (strncmp(key, "listener.name.", 14) == 0)
		return set_listener_key(c, key + 14, value);
	for (size_t k = 0; k < CONFIG_COUNT; k++)
		if (strcmp(keys[k].key, key) == 0)
			return set(c, k, value, origin);
	for (size_t i = 0; refused[i]; i++)
		if (strncmp(key, refused[i], strlen(refused[i])) == 0)
			return err_note(ERR_NOT_YET,
			    "%s is not obeyed; broker/SECURITY.md has the keys that are", key);
	const char *like = nearest(key);
	return err_note(ERR_INVALID_CONFIG, "unknown key %s%s%s%s", key,
	    like ? "; did you mean " : "", like ? like : "", like ? "?" : "");
}

static int on_pair(void *ctx, const char *section, const char *key, const char *value)
{
	struct load *l = ctx;
	if (section && *section)
		l->err = err_note(ERR_INVALID_CONFIG, "[%s]: there are no sections", section);
	else
		l->err = set_by_key(l->c, key, value, "file");
	return l->err == ERR_OK;
}

static enum err byte_0(const char *path, const char *text)
{
	int line = 1;
	for (; *text; text++)
		line += *text == '\n';
	err_note(ERR_INVALID_CONFIG, "a byte 0 is no text");
	return err_note(ERR_INVALID_CONFIG, "%s line %d", path, line);
}

/* All of it as a string, to release with mem_free. */
static enum err read_text(const char *path, char **ret_text)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return err_sys("read %s", path);
	char *text = mem_alloc(CONFIG_FILE_MAX + 1);
	size_t len = text ? fread(text, 1, CONFIG_FILE_MAX + 1, f) : 0;
	enum err e = text ? ERR_OK : ERR_NOMEM;
	if (e == ERR_OK && ferror(f))
		e = err_sys("read %s", path);
	else if (e == ERR_OK && len > CONFIG_FILE_MAX)
		e = err_note(ERR_INVALID_CONFIG, "%s: longer than %d bytes", path, CONFIG_FILE_MAX);
	else if (e == ERR_OK && memchr(text, 0, len))
		e = byte_0(path, text);
	fclose(f);
	if (e != ERR_OK) {
		mem_free(text);
		return e;
	}
	text[len] = '\0';
	*ret_text = text;
	return ERR_OK;
}

/* `named`: on the command line, where a pipe will do. Nobody waits for one that was found. */
static enum err load_file(struct config *c, const char *path, bool named)
{
	struct stat st;
	char *text = NULL;
	if (!named && stat(path, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR ? ERR_OK : err_sys("read %s", path);
	if (!named && !S_ISREG(st.st_mode))
		return err_note(ERR_INVALID_CONFIG, "%s: not a regular file", path);
	TRY(read_text(path, &text));
	struct load l = {.c = c, .path = path};
	ini_allow_multiline = false; /* an indented line is a line, not more of the one above */
	int line = ini_parse_string(text, on_pair, &l);
	mem_free(text);
	if (line == 0)
		return ERR_OK;
	if (line < 0)
		return err_note(ERR_NOMEM, "read %s", path);
	if (l.err == ERR_OK)
		l.err = err_note(ERR_INVALID_CONFIG, "key=value is expected");
	return err_note(l.err, "%s line %d", path, line);
}

/* log.segment.bytes -> KAPPA_LOG_SEGMENT_BYTES; kappa.io -> KAPPA_IO */
static void env_name(const char *key, char *buf, size_t len)
{
	snprintf(buf, len, "KAPPA_%s", strncmp(key, "kappa.", 6) == 0 ? key + 6 : key);
	for (char *p = buf; *p; p++)
		*p = *p == '.' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
}

static enum err load_environment(struct config *c)
{
	for (size_t k = 0; k < CONFIG_COUNT; k++) {
		char name[80];
		env_name(keys[k].key, name, sizeof name);
		/* KAPPA_HTTP is the client's URL: not an address to listen on */
		const char *value = k == CONFIG_HTTP ? NULL : getenv(name);
		if (value && *value) {
			enum err e = set(c, k, value, "environment");
			if (e != ERR_OK)
				return err_note(e, "%s", name);
		}
	}
	return ERR_OK;
}

static enum err load_flags(struct config *c, const struct cli *cli)
{
	static const struct {
		const char *flag;
		enum config_key key;
	} flags[] = {{"data", CONFIG_LOG_DIRS}, {"listen", CONFIG_LISTENERS}, {"http", CONFIG_HTTP},
	    {"io", CONFIG_IO}, {"native", CONFIG_NATIVE}, {"advertise", CONFIG_ADVERTISED}};
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (cli_has(cli, flags[i].flag))
			TRY(set(c, flags[i].key, cli_get(cli, flags[i].flag, ""), "flag"));
	if (cli_has(cli, "insecure-listen"))
		TRY(set(c, CONFIG_INSECURE_LISTEN, "true", "flag"));
	const char *pair;
	for (int i = 0; (pair = cli_nth(cli, "set", i)); i++) {
		char key[128];
		const char *equals = strchr(pair, '=');
		if (!equals || (size_t)(equals - pair) >= sizeof key)
			return err_note(
			    ERR_INVALID_CONFIG, "--set %s: key=value is expected", pair);
		memcpy(key, pair, (size_t)(equals - pair));
		key[equals - pair] = 0;
		TRY(set_by_key(c, key, equals + 1, "flag"));
	}
	return ERR_OK;
}

enum err config_load(struct config *c, const struct cli *cli)
{
	*c = (struct config){{0}, {0}, NULL, 0};
	char in_data[4096];
	const char *file = cli_get(cli, "config", NULL), *data = cli_get(cli, "data", NULL);
	snprintf(in_data, sizeof in_data, "%s/kappa.conf", data ? data : ".");
	enum err e;
	if (file)
		e = load_file(c, file, true);
	else if (data && access(in_data, F_OK) == 0)
		e = load_file(c, in_data, false);
	else
		e = load_file(c, "/etc/kappa/kappa.conf", false);
	if (e == ERR_OK)
		e = load_environment(c);
	if (e == ERR_OK)
		e = load_flags(c, cli);
	if (e != ERR_OK)
		config_release(c);
	return e;
}

void config_release(struct config *c)
{
	for (size_t k = 0; k < CONFIG_COUNT; k++) {
		mem_free(c->value[k]);
		c->value[k] = NULL;
	}
	for (size_t i = 0; i < c->listener_key_count; i++)
		mem_free(c->listener_keys[i].value);
	mem_free(c->listener_keys);
	c->listener_keys = NULL;
	c->listener_key_count = 0;
}

const char *config_name(enum config_key key)
{
	return keys[key].key;
}

const char *config_get(const struct config *c, enum config_key key)
{
	return c->value[key] ? c->value[key] : keys[key].def;
}

const char *config_journal_dir(const struct config *c, char *buf, size_t len)
{
	const char *dir = config_get(c, CONFIG_JOURNAL_DIR);
	char here[4096];
	if (!*dir)
		return NULL;
	bool relative = *dir != '/' && getcwd(here, sizeof here);
	int n = snprintf(buf, len, "%s%s%s", relative ? here : "", relative ? "/" : "", dir);
	return n < 0 || (size_t)n >= len ? "" : buf;
}

int64_t config_number(const struct config *c, enum config_key key)
{
	int64_t n = 0;
	bool ok = str_to_i64(str_of(config_get(c, key)), &n);
	ASSERT(ok);
	return n;
}

bool config_bool(const struct config *c, enum config_key key)
{
	return strcmp(config_get(c, key), "true") == 0;
}

enum err config_address(const char *text, char *host, size_t host_len, uint16_t *ret_port)
{
	const char *from = strstr(text, "://");
	from = from ? from + 3 : text;
	const char *colon = strrchr(from, ':');
	uint64_t port;
	if (!colon || !str_to_u64(str_of(colon + 1), &port) || port > UINT16_MAX ||
	    strchr(from, ','))
		return err_note(ERR_INVALID, "'%s': one HOST:PORT is expected", text);
	size_t len = (size_t)(colon - from);
	if (len >= 2 && from[0] == '[' && from[len - 1] == ']') {
		from++;
		len -= 2;
	}
	if (len >= host_len)
		return err_note(ERR_INVALID, "'%s': the host is too long", text);
	snprintf(host, host_len, "%.*s", (int)len, len ? from : "127.0.0.1");
	if (!len)
		snprintf(host, host_len, "127.0.0.1");
	*ret_port = (uint16_t)port;
	return ERR_OK;
}

enum err config_topic_defaults(const struct config *c, struct log *log)
{
	static const struct {
		enum config_key key;
		const char *topic_key;
	} map[] = {{CONFIG_SEGMENT_BYTES, "segment.bytes"}, {CONFIG_SEGMENT_MS, "segment.ms"},
	    {CONFIG_RETENTION_MS, "retention.ms"}, {CONFIG_RETENTION_BYTES, "retention.bytes"},
	    {CONFIG_MESSAGE_MAX, "max.message.bytes"}, {CONFIG_COMPRESSION, "compression.type"},
	    {CONFIG_TIMESTAMP_TYPE, "message.timestamp.type"},
	    {CONFIG_DURABILITY, "kappa.durability"}};
	if (c->value[CONFIG_RETENTION_HOURS] && !c->value[CONFIG_RETENTION_MS]) {
		char ms[32];
		int64_t hours = config_number(c, CONFIG_RETENTION_HOURS);
		if (hours > INT64_MAX / 3600000)
			return err_note(ERR_INVALID_CONFIG, "log.retention.hours=%lld is too large",
			    (long long)hours);
		snprintf(ms, sizeof ms, "%lld", hours < 0 ? -1LL : (long long)hours * 3600000);
		TRY(log_default_config_set(log, STR("retention.ms"), str_of(ms)));
	}
	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (c->value[map[i].key])
			TRY(log_default_config_set(
			    log, str_of(map[i].topic_key), str_of(c->value[map[i].key])));
	return ERR_OK;
}

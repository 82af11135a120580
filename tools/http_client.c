/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/http_client.h"
#include "log/base/json.h"
#include <curl/curl.h>
#include <stdarg.h>
#include <stdlib.h>

enum { TOKEN_MAX = 256, PROBLEM_MAX = 65536 };

struct transfer {
	struct http_call *call;
	CURL *curl;
	struct writer problem; /* body of an error answer */
	bool stopped;
};

/* ---- token ----------------------------------------------------------------------------------- */

static bool read_token(const char *path, char *token)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	size_t n = fread(token, 1, TOKEN_MAX - 1, f);
	fclose(f);
	while (n && (token[n - 1] == '\n' || token[n - 1] == ' '))
		n--;
	token[n] = 0;
	return n > 0;
}

/* "http://HOST:PORT/..." -> "HOST:PORT" */
static void host_port(const char *url, char *buf, size_t len)
{
	const char *from = strstr(url, "://");
	from = from ? from + 3 : url;
	size_t n = strcspn(from, "/");
	snprintf(buf, len, "%.*s", (int)n, from);
}

static bool find_token(const struct cli *cli, char *token)
{
	char path[4096], host[300];
	const char *env = getenv("KAPPA_TOKEN"), *data = cli_get(cli, "data", NULL);
	if (env && *env && strlen(env) < TOKEN_MAX) {
		memcpy(token, env, strlen(env) + 1);
		return true;
	}
	if (data) {
		snprintf(path, sizeof path, "%s/http.token", data);
		return read_token(path, token);
	}
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	host_port(cli_http(cli), host, sizeof host);
	if (state && *state)
		snprintf(path, sizeof path, "%s/kappa/%s.token", state, host);
	else
		snprintf(
		    path, sizeof path, "%s/.local/state/kappa/%s.token", home ? home : "", host);
	return read_token(path, token);
}

/* ---- one call -------------------------------------------------------------------------------- */

static size_t on_piece(char *ptr, size_t size, size_t count, void *ctx)
{
	struct transfer *t = ctx;
	long status = 0;
	struct bytes piece = bytes_of(ptr, size * count);
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400) {
		write_bytes(&t->problem, piece);
		return piece.len;
	}
	if (!t->call->on_body || t->call->on_body(t->call->ctx, piece))
		return piece.len;
	t->stopped = true;
	return 0;
}

/* {"code":"NOT_FOUND","detail":"..."} -> the error with its detail. */
static enum err problem_err(struct bytes body, long status)
{
	struct json_path_spec specs[] = {{STR("code"), false, true}, {STR("detail"), false, true}};
	struct json_paths *paths = NULL;
	struct json_value v[2];
	enum err code = status == 401 ? ERR_UNAUTHORIZED : status == 404 ? ERR_NOT_FOUND : ERR_SYS;
	if (json_paths_new(specs, 2, &paths) != ERR_OK)
		return ERR_NOMEM;
	if (json_scan(paths, bytes_str(body), v) == ERR_OK) {
		char name[64], detail[1000];
		struct arena a;
		struct str text = STR("");
		arena_init(&a, 2 * PROBLEM_MAX);
		if (v[1].kind == JSON_STRING && json_unescape(&a, v[1], &text) != ERR_OK)
			text = v[1].text;
		snprintf(detail, sizeof detail, STR_FMT, STR_ARG(text));
		snprintf(name, sizeof name, STR_FMT, STR_ARG(v[0].text));
		if (v[0].kind == JSON_STRING && !err_by_name(name, &code))
			code = ERR_SYS;
		err_clear();
		err_note(code, "%s", detail[0] ? detail : err_text(code));
		arena_release(&a);
	} else {
		err_clear();
		err_note(code, "HTTP status %ld", status);
	}
	json_paths_free(paths);
	return code;
}

static struct curl_slist *headers_for(const struct cli *cli, const struct http_call *call)
{
	char line[TOKEN_MAX + 64], token[TOKEN_MAX];
	struct curl_slist *list = NULL;
	if (call->body.len) {
		struct str type =
		    call->content_type.ptr ? call->content_type : STR("application/json");
		snprintf(line, sizeof line, "Content-Type: " STR_FMT, STR_ARG(type));
		list = curl_slist_append(list, line);
	}
	if (strcmp(call->method, "GET") != 0)
		list = curl_slist_append(list, "X-Kappa: 1");
	if (find_token(cli, token)) {
		snprintf(line, sizeof line, "Authorization: Bearer %s", token);
		list = curl_slist_append(list, line);
	}
	return list;
}

static enum err transfer_err(CURLcode c, const struct cli *cli)
{
	switch ((int)c) {
	case CURLE_OPERATION_TIMEDOUT:
		return err_note(ERR_TIMEOUT, "no answer from %s", cli_http(cli));
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return err_note(ERR_CONNECT, "%s: %s", cli_http(cli), curl_easy_strerror(c));
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return err_note(ERR_INVALID, "--http %s is not a URL", cli_http(cli));
	default:
		return err_note(ERR_SYS, "%s: %s", cli_http(cli), curl_easy_strerror(c));
	}
}

static void set_options(
    CURL *curl, const struct cli *cli, struct transfer *t, struct curl_slist *headers)
{
	struct http_call *call = t->call;
	char url[17000];
	snprintf(url, sizeof url, "%s%s", cli_http(cli), call->path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
	if (call->body.len) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body.ptr);
	} else if (strcmp(call->method, "POST") == 0) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
	}
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_piece);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
	if (call->timeout_ms >= 0)
		curl_easy_setopt(
		    curl, CURLOPT_TIMEOUT_MS, (long)(call->timeout_ms ? call->timeout_ms : 30000));
}

enum err http_do(const struct cli *cli, struct http_call *call)
{
	CURL *curl = curl_easy_init();
	if (!curl)
		return ERR_NOMEM;
	struct transfer t = {.call = call, .curl = curl};
	writer_init(&t.problem, PROBLEM_MAX);
	struct curl_slist *headers = headers_for(cli, call);
	set_options(curl, cli, &t, headers);
	CURLcode c = curl_easy_perform(curl);
	long status = 0;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	enum err e = ERR_OK;
	if (c != CURLE_OK && !t.stopped)
		e = transfer_err(c, cli);
	else if (status >= 400)
		e = problem_err(writer_bytes(&t.problem), status);
	writer_release(&t.problem);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return e;
}

static bool to_writer(void *ctx, struct bytes piece)
{
	struct writer *w = ctx;
	write_bytes(w, piece);
	return w->err == ERR_OK;
}

enum err http_get(const struct cli *cli, struct writer *out, const char *fmt, ...)
{
	struct http_call call = {.method = "GET", .on_body = to_writer, .ctx = out};
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(call.path, sizeof call.path, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof call.path)
		return err_note(
		    ERR_LIMIT, "the request path is longer than %zu bytes", sizeof call.path);
	TRY(http_do(cli, &call));
	return out->err;
}

enum err http_encode(char *buf, size_t len, struct str component)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;
	for (size_t i = 0; i < component.len; i++) {
		uint8_t c = (uint8_t)component.ptr[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		             (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
		if (n + 4 > len)
			return err_note(ERR_LIMIT, "name or value too long for a request");
		if (plain) {
			buf[n++] = (char)c;
		} else {
			buf[n++] = '%';
			buf[n++] = hex[c >> 4];
			buf[n++] = hex[c & 15];
		}
	}
	buf[n] = 0;
	return ERR_OK;
}

/* ---- topics ---------------------------------------------------------------------------------- */

static bool http_is_same_server(const struct cli *cli)
{
	const char *env_http = getenv("KAPPA_HTTP"), *env_kafka = getenv("KAPPA_BOOTSTRAP_SERVERS");
	return cli_has(cli, "http") || (env_http && *env_http) ||
	       (!cli_has(cli, "bootstrap-server") && !cli_has(cli, "brokers") &&
	           !(env_kafka && *env_kafka));
}

void http_topic_facts(const struct cli *cli, const char *topic, struct topic_facts *ret_facts)
{
	*ret_facts = (struct topic_facts){.name = topic, .bytes = -1};
	if (!http_is_same_server(cli))
		return;
	char name[3 * TOPIC_NAME_MAX + 4];
	struct writer w;
	struct json_path_spec specs[] = {{STR("id"), false, true}, {STR("bytes"), false, true}};
	struct json_paths *paths = NULL;
	struct json_value v[2];
	writer_init(&w, 64 * MIB);
	if (http_encode(name, sizeof name, str_of(topic)) == ERR_OK &&
	    http_get(cli, &w, "/v1/topics/%s", name) == ERR_OK &&
	    json_paths_new(specs, 2, &paths) == ERR_OK &&
	    json_scan(paths, bytes_str(writer_bytes(&w)), v) == ERR_OK) {
		if (v[0].kind == JSON_STRING)
			snprintf(ret_facts->id, sizeof ret_facts->id, STR_FMT, STR_ARG(v[0].text));
		if (v[1].kind == JSON_NUMBER && !str_to_i64(v[1].text, &ret_facts->bytes))
			ret_facts->bytes = -1;
	}
	err_clear();
	json_paths_free(paths);
	writer_release(&w);
}

enum err http_topic_segments(const struct cli *cli, const char *topic, struct writer *out)
{
	char name[3 * TOPIC_NAME_MAX + 4];
	TRY(http_encode(name, sizeof name, str_of(topic)));
	return http_get(cli, out, "/v1/topics/%s/segments", name);
}

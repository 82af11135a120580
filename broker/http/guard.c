/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may ask: Host against DNS rebinding, Origin and X-Kappa against other web pages, the token
 * against other users of the machine. In this order. Beyond loopback, and where clients of the
 * server have to say who they are or there are access lists, reads need the token too, except
 * /health and /ready.
 */
#include "door.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <strings.h>
#include <sys/stat.h>

/* ---- opening: allow-list and token ----------------------------------------------------------- */

static char *lower_copy(const char *s)
{
	char *copy = mem_strdup(str_of(s));
	for (char *p = copy; p && *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	}
	return copy;
}

static enum err allow_hosts(struct http *http, const char *const *more)
{
	static const char *const always[] = {"localhost", "127.0.0.1", "::1", NULL};
	size_t count = 0;
	for (size_t i = 0; more && more[i]; i++)
		count++;
	http->allowed_host = mem_calloc(count + 5, sizeof *http->allowed_host);
	if (!http->allowed_host)
		return ERR_NOMEM;
	size_t at = 0;
	for (size_t i = 0; always[i]; i++)
		http->allowed_host[at++] = lower_copy(always[i]);
	http->allowed_host[at++] = lower_copy(http->host);
	for (size_t i = 0; i < count; i++)
		http->allowed_host[at++] = lower_copy(more[i]);
	for (size_t i = 0; i < at; i++) {
		if (!http->allowed_host[i])
			return ERR_NOMEM;
	}
	return ERR_OK;
}

static enum err token_make(struct http *http, const char *path)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t secret[HTTP_TOKEN_CHARS / 2];
	char line[HTTP_TOKEN_CHARS + 1];
	io_random(http->io, secret, sizeof secret);
	for (size_t i = 0; i < sizeof secret; i++) {
		line[2 * i] = hex[secret[i] >> 4];
		line[2 * i + 1] = hex[secret[i] & 15];
	}
	line[HTTP_TOKEN_CHARS] = '\n';
	TRY(io_write_file(http->io, path, bytes_of(line, sizeof line)));
	memcpy(http->token, line, HTTP_TOKEN_CHARS);
	OPENSSL_cleanse(secret, sizeof secret);
	OPENSSL_cleanse(line, sizeof line);
	return ERR_OK;
}

static enum err token_parse(struct http *http, const char *path, struct bytes content)
{
	size_t len = content.len;
	while (len > 0 && (content.ptr[len - 1] == '\n' || content.ptr[len - 1] == '\r'))
		len--;
	bool ok = len == HTTP_TOKEN_CHARS;
	for (size_t i = 0; ok && i < len; i++)
		ok = memchr("0123456789abcdef", content.ptr[i], 16) != NULL;
	if (!ok)
		return err_note(ERR_INVALID,
		    "%s is not a token (64 hexadecimal digits): remove it and a new one is made",
		    path);
	memcpy(http->token, content.ptr, HTTP_TOKEN_CHARS);
	return ERR_OK;
}

static enum err token_load(struct http *http, const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return errno == ENOENT ? token_make(http, path) : err_sys("token file %s", path);
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
		return err_note(ERR_PERMISSION,
		    "token file %s must be a file only its owner can read: chmod 600", path);
	struct bytes content;
	TRY(io_read_file(http->io, path, 4 * KIB, &content));
	enum err e = token_parse(http, path, content);
	mem_free((void *)(uintptr_t)content.ptr);
	return e;
}

enum err guard_open(struct http *http, const struct http_options *options)
{
	http->guard_reads = options->guard_reads;
	http->guard_ctx = options->guard_ctx;
	TRY(allow_hosts(http, options->allowed_hosts));
	return token_load(http, options->token_path);
}

void guard_release(struct http *http)
{
	for (size_t i = 0; http->allowed_host && http->allowed_host[i]; i++)
		mem_free(http->allowed_host[i]);
	mem_free(http->allowed_host);
	OPENSSL_cleanse(http->token, sizeof http->token);
}

/* ---- checking -------------------------------------------------------------------------------- */

struct header_scan {
	const char *name;
	struct str first;
	size_t count;
};

static enum MHD_Result scan_one(
    void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct header_scan *scan = arg;
	(void)kind;
	if (strcasecmp(name, scan->name) != 0)
		return MHD_YES;
	if (scan->count++ == 0)
		scan->first = str_of(value ? value : "");
	return MHD_YES;
}

static struct header_scan scan_header(struct http_request *r, const char *name)
{
	struct header_scan scan = {.name = name};
	MHD_get_connection_values(r->connection, MHD_HEADER_KIND, scan_one, &scan);
	return scan;
}

/* The name in "name", "name:port" or "[v6]:port"; ptr NULL when malformed. */
static struct str host_name(struct str authority)
{
	const struct str none = {NULL, 0};
	struct str name = authority, port = {"", 0};
	if (authority.len && authority.ptr[0] == '[') {
		const char *end = memchr(authority.ptr, ']', authority.len);
		if (!end)
			return none;
		name = str_from(authority.ptr + 1, (size_t)(end - authority.ptr) - 1);
		port = str_from(end + 1, authority.len - name.len - 2);
	} else {
		const char *colon =
		    authority.len ? memchr(authority.ptr, ':', authority.len) : NULL;
		if (colon) {
			name.len = (size_t)(colon - authority.ptr);
			port = str_from(colon, authority.len - name.len);
		}
	}
	uint64_t number;
	if (port.len &&
	    (port.ptr[0] != ':' || !str_to_u64(str_from(port.ptr + 1, port.len - 1), &number)))
		return none;
	return name.len ? name : none;
}

static enum err check_host(struct http_request *r, struct str *ret_authority)
{
	struct header_scan host = scan_header(r, MHD_HTTP_HEADER_HOST);
	if (host.count != 1)
		return err_note(ERR_INVALID_REQUEST, "a request needs exactly one Host header");
	struct str name = host_name(host.first);
	for (size_t i = 0; name.ptr && r->http->allowed_host[i]; i++) {
		const char *allowed = r->http->allowed_host[i];
		if (name.len == strlen(allowed) && strncasecmp(name.ptr, allowed, name.len) == 0) {
			*ret_authority = host.first;
			return ERR_OK;
		}
	}
	return err_note(ERR_WRONG_HOST,
	    "host names served here are localhost, the bound address and those configured");
}

/* A write comes from the page this very host served, or from a program; never from another site's
 * page. */
static enum err check_origin(struct http_request *r, struct str authority)
{
	struct header_scan origin = scan_header(r, MHD_HTTP_HEADER_ORIGIN);
	if (origin.count > 0) {
		size_t scheme = strlen("http://");
		bool same =
		    origin.count == 1 && authority.ptr &&
		    origin.first.len == scheme + authority.len &&
		    strncasecmp(origin.first.ptr, "http://", scheme) == 0 &&
		    strncasecmp(origin.first.ptr + scheme, authority.ptr, authority.len) == 0;
		if (!same)
			return err_note(
			    ERR_CROSS_SITE, "the Origin of a write must be this server");
	}
	struct header_scan custom = scan_header(r, "X-Kappa");
	if (custom.count != 1 || !str_equal(custom.first, STR("1")))
		return err_note(ERR_CROSS_SITE, "a write needs the header X-Kappa: 1");
	return ERR_OK;
}

static bool peer_is_loopback(struct http_request *r)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	if (!info || !info->client_addr)
		return false;
	if (info->client_addr->sa_family == AF_INET) {
		struct sockaddr_in v4;
		memcpy(&v4, info->client_addr, sizeof v4);
		return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
	}
	if (info->client_addr->sa_family == AF_INET6) {
		struct sockaddr_in6 v6;
		memcpy(&v6, info->client_addr, sizeof v6);
		return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
	}
	return false;
}

/* The time taken does not depend on how much of a wrong token is right. */
static enum err check_token(struct http_request *r)
{
	struct header_scan auth = scan_header(r, MHD_HTTP_HEADER_AUTHORIZATION);
	size_t scheme = strlen("Bearer ");
	if (auth.count == 0)
		return err_note(ERR_UNAUTHORIZED,
		    "send the header Authorization: Bearer TOKEN (the token is in http.token)");
	bool right = auth.count == 1 && auth.first.len == scheme + HTTP_TOKEN_CHARS &&
	             strncasecmp(auth.first.ptr, "Bearer ", scheme) == 0 &&
	             CRYPTO_memcmp(auth.first.ptr + scheme, r->http->token, HTTP_TOKEN_CHARS) == 0;
	if (!right)
		return err_note(ERR_UNAUTHORIZED, "wrong token");
	return ERR_OK;
}

static bool is_probe(const struct http_request *r)
{
	return str_equal(r->path, STR("/health")) || str_equal(r->path, STR("/ready"));
}

enum err guard_check(struct http_request *r)
{
	bool write = !str_equal(r->method, STR("GET"));
	struct str authority = {0};
	TRY(check_host(r, &authority));
	if (write)
		TRY(check_origin(r, authority));
	bool guarded = !peer_is_loopback(r) ||
	               (r->http->guard_reads && r->http->guard_reads(r->http->guard_ctx));
	if (write || (guarded && !is_probe(r)))
		TRY(check_token(r));
	struct header_scan length = scan_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
	struct header_scan coding = scan_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING);
	if (length.count > 1 || coding.count > 1 || (length.count && coding.count))
		return err_note(ERR_INVALID_REQUEST, "ambiguous body length");
	return ERR_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const struct {
	const char *name;
	const char *text;
	int16_t kafka;
	int16_t http;
	bool retriable;
} table[ERR_COUNT] = {
#define ERR(name, kafka, http, retriable, text)                                                    \
	[ERR_##name] = {#name, text, kafka, http, retriable},
#include "err.def"
#undef ERR
};

/*
 * The chain of one thread. A thread that never clears keeps its newest notes: the oldest are
 * dropped whole, so that a forgotten err_clear costs context, never memory.
 */
enum { CHAIN_BYTES = 2048, NOTE_BYTES = 512 };
static _Thread_local char chain[CHAIN_BYTES];
static _Thread_local size_t chain_len;

const char *err_name(enum err e)
{
	return e < ERR_COUNT ? table[e].name : "UNKNOWN";
}

const char *err_text(enum err e)
{
	return e < ERR_COUNT ? table[e].text : "unknown error code";
}

int16_t err_kafka(enum err e)
{
	return e < ERR_COUNT ? table[e].kafka : (int16_t)-1;
}

enum err err_from_kafka(int16_t code)
{
	if (code == table[ERR_CORRUPT_MESSAGE].kafka)
		return ERR_CORRUPT_MESSAGE; /* other rows of this code are a start's verdicts */
	for (int i = 0; i < ERR_COUNT && code >= 0; i++)
		if (table[i].kafka == code)
			return (enum err)i;
	return ERR_SYS;
}

int err_http(enum err e)
{
	return e < ERR_COUNT ? table[e].http : 500;
}

bool err_retriable(enum err e)
{
	return e < ERR_COUNT && table[e].retriable;
}

bool err_by_name(const char *name, enum err *ret_err)
{
	if (strncasecmp(name, "ERR_", 4) == 0)
		name += 4;
	for (int i = 0; i < ERR_COUNT; i++) {
		if (strcasecmp(table[i].name, name) == 0) {
			*ret_err = (enum err)i;
			return true;
		}
	}
	return false;
}

enum err err_from_errno(int sys_errno)
{
	switch (sys_errno) {
	case 0:
		return ERR_OK;
	case ENOMEM:
		return ERR_NOMEM;
	case ENOSPC:
	case EDQUOT:
		return ERR_NOSPACE;
	case EIO:
	case EFBIG:
	case EROFS:
		return ERR_IO;
	case ENOENT:
	case ENOTDIR:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case ENOTEMPTY:
	case EISDIR:
	case EBUSY:
		return ERR_REFUSED;
	case EINVAL:
	case ENAMETOOLONG:
	case ELOOP:
		return ERR_INVALID;
	case EMFILE:
	case ENFILE:
		return ERR_LIMIT;
	case EOPNOTSUPP:
	case ENOSYS:
		return ERR_UNSUPPORTED;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case EAGAIN:
	case EINTR:
		return ERR_AGAIN;
	case ECANCELED:
		return ERR_CANCELLED;
	case EPIPE:
	case ECONNRESET:
	case ECONNABORTED:
	case ENOTCONN:
	case ESHUTDOWN:
		return ERR_CLOSED;
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return ERR_CONNECT;
	case EADDRINUSE:
		return ERR_ADDRESS_IN_USE;
	case EACCES:
	case EPERM:
		return ERR_PERMISSION;
	default:
		return ERR_SYS;
	}
}

/* Drops the oldest notes until `need` bytes fit behind what is left. */
static void chain_make_room(size_t need)
{
	while (chain_len > 0 && chain_len + need > CHAIN_BYTES) {
		char *cut = strstr(chain, ": ");
		if (!cut) {
			chain_len = 0;
			break;
		}
		size_t from = (size_t)(cut + 2 - chain);
		chain_len -= from;
		memmove(chain, chain + from, chain_len + 1);
	}
}

static void chain_add(const char *note)
{
	size_t len = strlen(note);
	chain_make_room(len + 3);
	if (chain_len > 0) {
		memcpy(chain + chain_len, ": ", 2);
		chain_len += 2;
	}
	memcpy(chain + chain_len, note, len + 1);
	chain_len += len;
}

enum err err_note(enum err e, const char *fmt, ...)
{
	char note[NOTE_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(note, sizeof(note), fmt, ap);
	va_end(ap);
	chain_add(note);
	return e;
}

enum err err_sys(const char *fmt, ...)
{
	int saved = errno;
	char note[NOTE_BYTES];
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(note, sizeof(note) / 2, fmt, ap);
	va_end(ap);
	size_t at = len < 0 ? 0 : (size_t)len;
	if (at >= sizeof(note) / 2)
		at = sizeof(note) / 2 - 1;
	const char *desc = strerrordesc_np(saved);
	const char *name = strerrorname_np(saved);
	snprintf(note + at, sizeof(note) - at, ": %s (%s)", desc ? desc : "unknown error",
	    name ? name : "?");
	chain_add(note);
	errno = saved;
	enum err e = err_from_errno(saved);
	return e == ERR_OK ? ERR_SYS : e;
}

const char *err_chain(void)
{
	return chain_len > 0 ? chain : "";
}

void err_clear(void)
{
	chain_len = 0;
	chain[0] = '\0';
}

size_t err_mark(void)
{
	return chain_len;
}

void err_rewind(size_t mark)
{
	if (mark < chain_len) {
		chain_len = mark;
		chain[mark] = '\0';
	}
}

_Noreturn void err_assert_failed(const char *file, int line, const char *expr)
{
	char buf[512];
	int len = snprintf(buf, sizeof(buf), "%s:%d: assertion failed: %s\n", file, line, expr);
	if (len > (int)sizeof(buf) - 1)
		len = (int)sizeof(buf) - 1;
	if (len > 0 && write(STDERR_FILENO, buf, (size_t)len) < 0)
		abort();
	abort();
}

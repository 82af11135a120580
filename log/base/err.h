/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Error codes and the context chain.
 *
 * Functions that can fail return `enum err` by value; results come back through trailing `ret_`
 * pointers that stay untouched on failure. Three classes are never mixed: a bug aborts by ASSERT,
 * bad input is a code from err.def, a disk that lied moves the object to FAILED and says so. The
 * chain is per thread: the first err_note() after err_clear() is the cause, later ones add context;
 * the top level logs it once with err_chain(). Owner thread: any; a chain never crosses threads by
 * itself.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum err {
#define ERR(name, kafka, http, retriable, text) ERR_##name,
#include "err.def"
#undef ERR
	ERR_COUNT
};

/* The one control-flow macro of the tree: returns from the caller with the error of `expr`. */
#define TRY(expr)                                                                                  \
	do {                                                                                       \
		enum err try_err_ = (expr);                                                        \
		if (try_err_ != ERR_OK)                                                            \
			return try_err_;                                                           \
	} while (0)

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

const char *err_name(enum err e); /* "OFFSET_OUT_OF_RANGE" */
const char *err_text(enum err e); /* "offset out of range" */
int16_t err_kafka(enum err e);    /* Kafka error code */
int err_http(enum err e);         /* HTTP status */
bool err_retriable(enum err e);   /* would the same request succeed later? */
enum err err_from_errno(int sys_errno);
/* What a server's answer means to a client: the row of that Kafka code which tells most; ERR_SYS
 * for UNKNOWN_SERVER_ERROR and codes that no row has. */
enum err err_from_kafka(int16_t code);
/* Finds a code by its name, with or without ERR_ and in any case; false when there is none. */
bool err_by_name(const char *name, enum err *ret_err);

/*
 * Adds one sentence of context to this thread's chain and returns `e`: `return err_note(ERR_IO,
 * ...)`.
 */
enum err err_note(enum err e, const char *fmt, ...) PRINTF(2, 3);
/* The same for a failed system call: maps errno and names it in the note. */
enum err err_sys(const char *fmt, ...) PRINTF(1, 2);
/*
 * This thread's chain, innermost first, joined by ": "; "" when empty. Valid until the next err_
 * call here.
 */
const char *err_chain(void);
void err_clear(void);
/*
 * Around a probe whose failure is expected: err_mark before it, err_rewind forgets the notes made
 * since.
 */
size_t err_mark(void);
void err_rewind(size_t mark);

/*
 * Stays on in release builds: a failed assertion is a bug and aborts with file, line and
 * expression.
 */
#define ASSERT(cond) ((cond) ? (void)0 : err_assert_failed(__FILE__, __LINE__, #cond))
_Noreturn void err_assert_failed(const char *file, int line, const char *expr);

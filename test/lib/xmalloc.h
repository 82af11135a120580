/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The test library's own heap: apart from mem_alloc, so that injected failures hit only the code
 * under test, and never NULL. Release with free.
 */
#include "log/base/err.h"

#include <stdlib.h>
#include <string.h>

static inline void *xmalloc(size_t len)
{
	void *p = malloc(len ? len : 1);
	ASSERT(p);
	return p;
}
static inline void *xcalloc(size_t count, size_t len)
{
	void *p = calloc(count ? count : 1, len);
	ASSERT(p);
	return p;
}
static inline void *xrealloc(void *old, size_t len)
{
	void *p = realloc(old, len ? len : 1);
	ASSERT(p);
	return p;
}
static inline char *xstrdup(const char *s)
{
	char *p = strdup(s);
	ASSERT(p);
	return p;
}

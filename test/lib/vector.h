/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Test vectors. */
#include "log/base/base.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"

/* Appends the bytes of a hexadecimal text (spaces are skipped) to out. */
void test_hex(const char *hex, struct writer *out);
/* `len` bytes that compress somewhat: words from a small set with some noise. */
void test_text(struct prng *prng, size_t len, struct writer *out);
/* A heap copy of exactly b.len bytes, so that the address sanitizer sees any read beyond; mem_free.
 */
uint8_t *test_exact_copy(struct bytes b);

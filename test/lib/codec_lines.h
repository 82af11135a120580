/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Messages as lines of text, "NAME KIND VERSION HEX", to compare with another implementation. KIND
 * is request, response, or data for what is a key or value of a record.
 */
#include "broker/kafka/codec.h"

struct codec_lines {
	uint64_t same, different;
};
/* Decodes and encodes each message of `text`; the bytes must be the same. Says on stdout which are
 * not, the first 20 of them. */
void codec_lines_verify(struct codec_lines *l, struct str text);
/* "NAME KIND MIN MAX" of everything in the message table. */
void codec_lines_list(struct writer *out);
/* `count` random messages of each version. */
void codec_lines_generate(uint64_t seed, int count, struct writer *out);

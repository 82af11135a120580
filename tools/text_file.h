/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Small text files of the command line: SQL, whole answers. */
#include "log/base/base.h"

/* Reads a file, or standard input for "-", of at most 16 MiB. Release with text_file_release. */
MUST_USE enum err text_file_read(const char *path, struct bytes *ret_content);
void text_file_release(struct bytes *content);
/* An http_body that appends to a struct writer. */
bool text_piece(void *ctx, struct bytes piece);

/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/text_file.h"
#include <stdio.h>

#define TEXT_FILE_MAX (16 * MIB)

enum err text_file_read(const char *path, struct bytes *ret_content)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!f)
		return err_sys("open %s", path);
	struct writer w;
	uint8_t piece[16384];
	size_t n;
	writer_init(&w, TEXT_FILE_MAX);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		write_bytes(&w, bytes_of(piece, n));
	enum err e = ferror(f) ? err_sys("read %s", path) : w.err;
	if (e == ERR_LIMIT)
		err_note(e, "%s is larger than %zu bytes", path, TEXT_FILE_MAX);
	if (f != stdin)
		fclose(f);
	if (e != ERR_OK) {
		writer_release(&w);
		return e;
	}
	size_t len;
	ret_content->ptr = writer_take(&w, &len);
	ret_content->len = len;
	return ERR_OK;
}

void text_file_release(struct bytes *content)
{
	mem_free((void *)(uintptr_t)content->ptr);
	*content = (struct bytes){0};
}

bool text_piece(void *ctx, struct bytes piece)
{
	struct writer *w = ctx;
	write_bytes(w, piece);
	return w->err == ERR_OK;
}

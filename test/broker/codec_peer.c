/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our half of `make conform S=codec`:  codec_peer list | generate SEED COUNT | verify
 * See test/lib/codec_lines.h, and test/conform/CodecPeer.java for the other half.
 */
#include "test/lib/codec_lines.h"
#include <stdio.h>
#include <stdlib.h>

static int verify(void)
{
	struct codec_lines l = {0};
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	while ((len = getline(&line, &room, stdin)) > 0)
		codec_lines_verify(&l, str_from(line, (size_t)len));
	free(line);
	printf("%llu messages are the same, %llu are not\n", (unsigned long long)l.same,
	    (unsigned long long)l.different);
	return l.different > 0 || l.same == 0;
}

int main(int argc, char **argv)
{
	struct writer out;
	if (argc == 2 && strcmp(argv[1], "verify") == 0)
		return verify();
	writer_init(&out, 4 * GIB);
	if (argc == 2 && strcmp(argv[1], "list") == 0)
		codec_lines_list(&out);
	else if (argc == 4 && strcmp(argv[1], "generate") == 0)
		codec_lines_generate(
		    strtoull(argv[2], NULL, 10), (int)strtol(argv[3], NULL, 10), &out);
	size_t written = fwrite(out.ptr, 1, out.len, stdout);
	int rc = out.len == 0 || written != out.len || out.err != ERR_OK;
	writer_release(&out);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* kappa: one binary, `kappa NOUN VERB`. */
#include "tools/cli.h"
#include <signal.h>

int main(int argc, char **argv)
{
	/* A reader that went away is an error of the write, not the end of a server. */
	signal(SIGPIPE, SIG_IGN);
	/* A file that reaches RLIMIT_FSIZE is one too. */
	signal(SIGXFSZ, SIG_IGN);
	return (int)cli_main(argc, argv);
}

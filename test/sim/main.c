/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim SEED            one seed, with its trace
 * sim FIRST..LAST     a campaign; findings are printed, the exit status is 1 when there is any
 *   -j N  processes at a time   -t SECONDS  begin no seed after that   -q  no trace   -m MUTANT
 *   -r  more rot than seeds have without it: what they do is another thing then
 */
#include "test/sim/campaign.h"
#include "test/sim/mutant.h"
#include "test/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int usage(void)
{
	fprintf(
	    stderr, "usage: sim [-q] [-j N] [-t SECONDS] [-m MUTANT] [-r] SEED | FIRST..LAST\n");
	return 2;
}

static int one_seed(uint64_t seed, bool quiet)
{
	char report[400];
	world_run(seed, quiet ? TRACE_NONE : TRACE_PRINT, report, sizeof(report), NULL);
	printf("seed %llu: no rule is broken\n%s\n", (unsigned long long)seed, report);
	return 0;
}

static int many_seeds(struct campaign *c)
{
	campaign_run(c);
	printf("%llu seeds, %llu failed, %.1f s, %.1f seeds/s\n", (unsigned long long)c->done,
	    (unsigned long long)c->failed, c->seconds, (double)c->done / c->seconds);
	return c->failed > 0;
}

int main(int argc, char **argv)
{
	struct campaign c = {.jobs = 1};
	bool quiet = false;
	int option;
	while ((option = getopt(argc, argv, "qrj:t:m:")) != -1) {
		uint64_t n = 0;
		if (option != 'q' && option != 'r' && (!str_to_u64(str_of(optarg), &n)))
			return usage();
		if (option == 'q')
			quiet = true;
		else if (option == 'r')
			world_rot_more(true);
		else if (option == 'j')
			c.jobs = (unsigned)n;
		else if (option == 't')
			c.seconds_max = (int64_t)n;
		else if (option == 'm')
			c.mutant = (int)n;
		else
			return usage();
	}
	if (optind + 1 != argc || c.mutant >= MUTANT_COUNT)
		return usage();
	const char *dots = strstr(argv[optind], "..");
	struct str first = str_of(argv[optind]);
	if (dots)
		first.len = (size_t)(dots - argv[optind]);
	if (!str_to_u64(first, &c.first) || (dots && !str_to_u64(str_of(dots + 2), &c.last)))
		return usage();
	mutant_use((enum mutant)c.mutant);
	return dots ? many_seeds(&c) : one_seed(c.first, quiet);
}

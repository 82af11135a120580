/* SPDX-License-Identifier: Apache-2.0 */
#include "test/sim/world.h"
void views_new(struct world *w)
{
	(void)w;
}
void views_step(struct world *w)
{
	(void)w;
}
void views_audit(struct world *w)
{
	(void)w;
}
void views_finish(struct world *w)
{
	(void)w;
}
void views_free(struct views *v)
{
	(void)v;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of ASCII characters, and those that patterns name. */
#include "topic_regex_sets.h"

/* ---- sets of characters ---------------------------------------------------------------------- */

void regex_set_range(uint64_t set[2], uint32_t from, uint32_t to)
{
	for (uint32_t c = from; c <= to && c < 128; c++)
		set[c / 64] |= UINT64_C(1) << c % 64;
}

static void set_text(uint64_t set[2], const char *ranges)
{
	for (; *ranges; ranges += 2)
		regex_set_range(set, (uint8_t)ranges[0], (uint8_t)ranges[1]);
}

/* The letters of a set, small and capital, with the two characters beyond ASCII that fold to one:
 * the long s and the sign of kelvin. */
void regex_set_fold(uint64_t set[2], uint32_t from, uint32_t to)
{
	if (from <= 0x17f && 0x17f <= to)
		set_text(set, "ss");
	if (from <= 0x212a && 0x212a <= to)
		set_text(set, "kk");
	for (uint32_t c = 'a'; c <= 'z'; c++) {
		uint64_t both = (UINT64_C(1) << c % 64) | (UINT64_C(1) << (c - 32) % 64);
		if (set[1] & both)
			set[1] |= both;
	}
}

void regex_set_join(uint64_t set[2], const uint64_t more[2], bool negated)
{
	set[0] |= negated ? ~more[0] : more[0];
	set[1] |= negated ? ~more[1] : more[1];
}

struct named_set {
	const char *name, *ranges;
};
static const struct named_set classes[] = {
    {"alnum", "09AZaz"},
    {"alpha", "AZaz"},
    {"ascii", "\1\x7f"},
    {"blank", "\t\t  "},
    {"cntrl", "\1\x1f\x7f\x7f"},
    {"digit", "09"},
    {"graph", "!~"},
    {"lower", "az"},
    {"print", " ~"},
    {"punct", "!/:@[`{~"},
    {"space", "\t\r  "},
    {"upper", "AZ"},
    {"word", "09AZaz__"},
    {"xdigit", "09AFaf"},
};
/* Of Unicode's categories and scripts what is ASCII. */
static const struct named_set properties[] = {
    {"Any", "\1\x7f"},
    {"C", "\1\x1f\x7f\x7f"},
    {"Cc", "\1\x1f\x7f\x7f"},
    {"L", "AZaz"},
    {"Ll", "az"},
    {"Lu", "AZ"},
    {"N", "09"},
    {"Nd", "09"},
    {"P", "!#%*,/:;?@[]__{{}}"},
    {"Pc", "__"},
    {"Pd", "--"},
    {"Pe", "))]]}}"},
    {"Po", "!#%'**,,./:;?@\\\\"},
    {"Ps", "(([[{{"},
    {"S", "$$++<>^^``||~~"},
    {"Sc", "$$"},
    {"Sk", "^^``"},
    {"Sm", "++<>||~~"},
    {"Z", "  "},
    {"Zs", "  "},
    {"Latin", "AZaz"},
    {"Common", "\1@[`{\x7f"},
};
/* Categories that have nothing in ASCII. */
static const char *const elsewhere[] = {"Cf", "Co", "Cs", "Lm", "Lo", "Lt", "M", "Mc", "Me", "Mn",
    "Nl", "No", "Pf", "Pi", "So", "Zl", "Zp"};

static bool find_set(const struct named_set *all, size_t count, struct str name, uint64_t set[2])
{
	for (size_t i = 0; i < count; i++) {
		if (str_equal(str_of(all[i].name), name)) {
			set_text(set, all[i].ranges);
			return true;
		}
	}
	return false;
}

bool regex_set_class(uint64_t set[2], struct str name)
{
	return find_set(classes, sizeof(classes) / sizeof(classes[0]), name, set);
}

bool regex_set_letter(uint64_t set[2], char letter)
{
	static const struct named_set all[] = {{"d", "09"}, {"s", "\t\n\f\r  "}, {"w", "09AZaz__"}};
	return find_set(all, sizeof(all) / sizeof(all[0]), str_from(&letter, 1), set);
}

bool regex_set_property(uint64_t set[2], struct str name)
{
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		if (str_equal(str_of(elsewhere[i]), name))
			return true;
	}
	return find_set(properties, sizeof(properties) / sizeof(properties[0]), name, set);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * to_char of times: PostgreSQL's template patterns. A template is read from left to right: a prefix
 * (FM, TM), a pattern, a suffix (TH, th, SP); "quoted text"; anything else stands for itself. Names
 * of months and days are English (lc_time C), the zone is UTC.
 */
#include "processor/op/datetime.h"
#include "processor/op/func_list.h"
#include <stdio.h>

#define BODY(name)                                                                                 \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)

enum pattern {
	PATTERN_HOUR12,
	PATTERN_HOUR24,
	PATTERN_MINUTE,
	PATTERN_SECOND,
	PATTERN_FRACTION, /* `digits` of it */
	PATTERN_DAY_SECOND,
	PATTERN_MERIDIEM,
	PATTERN_ERA,
	PATTERN_YEAR, /* its last `digits`; 4 = all */
	PATTERN_ISO_YEAR,
	PATTERN_YEAR_COMMA,
	PATTERN_CENTURY,
	PATTERN_QUARTER,
	PATTERN_MONTH,
	PATTERN_MONTH_NAME,
	PATTERN_MONTH_SHORT,
	PATTERN_MONTH_ROMAN,
	PATTERN_MONTH_WEEK,
	PATTERN_YEAR_WEEK,
	PATTERN_ISO_WEEK,
	PATTERN_DAY,
	PATTERN_DAY_NAME,
	PATTERN_DAY_SHORT,
	PATTERN_DAY_OF_YEAR,
	PATTERN_ISO_DAY_OF_YEAR,
	PATTERN_DAY_OF_WEEK,
	PATTERN_ISO_DAY_OF_WEEK,
	PATTERN_JULIAN,
	PATTERN_ZONE,
	PATTERN_ZONE_HOUR,
	PATTERN_ZONE_MINUTE,
	PATTERN_ZONE_OFFSET,
	PATTERN_EXACT, /* FX: means something to readers only */
};
/* Case of what is written: as the pattern's letters are. */
enum letters { UPPER, LOWER, TITLE };

struct pattern_word {
	const char *text;
	enum pattern pattern;
	int digits; /* width of numbers; of words 1 = with dots */
	enum letters letters;
};

/* Where one begins another the longer comes first. Written in upper case: lower means the same. */
static const struct pattern_word words[] = {
    {"HH24", PATTERN_HOUR24, 2, UPPER},
    {"HH12", PATTERN_HOUR12, 2, UPPER},
    {"HH", PATTERN_HOUR12, 2, UPPER},
    {"MI", PATTERN_MINUTE, 2, UPPER},
    {"SSSSS", PATTERN_DAY_SECOND, 0, UPPER},
    {"SSSS", PATTERN_DAY_SECOND, 0, UPPER},
    {"SS", PATTERN_SECOND, 2, UPPER},
    {"MS", PATTERN_FRACTION, 3, UPPER},
    {"US", PATTERN_FRACTION, 6, UPPER},
    {"FF1", PATTERN_FRACTION, 1, UPPER},
    {"FF2", PATTERN_FRACTION, 2, UPPER},
    {"FF3", PATTERN_FRACTION, 3, UPPER},
    {"FF4", PATTERN_FRACTION, 4, UPPER},
    {"FF5", PATTERN_FRACTION, 5, UPPER},
    {"FF6", PATTERN_FRACTION, 6, UPPER},
    {"FX", PATTERN_EXACT, 0, UPPER},
    {"A.M.", PATTERN_MERIDIEM, 1, UPPER},
    {"P.M.", PATTERN_MERIDIEM, 1, UPPER},
    {"AM", PATTERN_MERIDIEM, 0, UPPER},
    {"PM", PATTERN_MERIDIEM, 0, UPPER},
    {"A.D.", PATTERN_ERA, 1, UPPER},
    {"B.C.", PATTERN_ERA, 1, UPPER},
    {"AD", PATTERN_ERA, 0, UPPER},
    {"BC", PATTERN_ERA, 0, UPPER},
    {"Y,YYY", PATTERN_YEAR_COMMA, 0, UPPER},
    {"YYYY", PATTERN_YEAR, 4, UPPER},
    {"YYY", PATTERN_YEAR, 3, UPPER},
    {"YY", PATTERN_YEAR, 2, UPPER},
    {"Y", PATTERN_YEAR, 1, UPPER},
    {"IDDD", PATTERN_ISO_DAY_OF_YEAR, 3, UPPER},
    {"ID", PATTERN_ISO_DAY_OF_WEEK, 1, UPPER},
    {"IW", PATTERN_ISO_WEEK, 2, UPPER},
    {"IYYY", PATTERN_ISO_YEAR, 4, UPPER},
    {"IYY", PATTERN_ISO_YEAR, 3, UPPER},
    {"IY", PATTERN_ISO_YEAR, 2, UPPER},
    {"I", PATTERN_ISO_YEAR, 1, UPPER},
    {"CC", PATTERN_CENTURY, 2, UPPER},
    {"Q", PATTERN_QUARTER, 1, UPPER},
    {"MONTH", PATTERN_MONTH_NAME, 0, UPPER},
    {"Month", PATTERN_MONTH_NAME, 0, TITLE},
    {"MON", PATTERN_MONTH_SHORT, 0, UPPER},
    {"Mon", PATTERN_MONTH_SHORT, 0, TITLE},
    {"MM", PATTERN_MONTH, 2, UPPER},
    {"RM", PATTERN_MONTH_ROMAN, 0, UPPER},
    {"WW", PATTERN_YEAR_WEEK, 2, UPPER},
    {"W", PATTERN_MONTH_WEEK, 1, UPPER},
    {"DAY", PATTERN_DAY_NAME, 0, UPPER},
    {"Day", PATTERN_DAY_NAME, 0, TITLE},
    {"DDD", PATTERN_DAY_OF_YEAR, 3, UPPER},
    {"DD", PATTERN_DAY, 2, UPPER},
    {"DY", PATTERN_DAY_SHORT, 0, UPPER},
    {"Dy", PATTERN_DAY_SHORT, 0, TITLE},
    {"D", PATTERN_DAY_OF_WEEK, 1, UPPER},
    {"J", PATTERN_JULIAN, 0, UPPER},
    {"OF", PATTERN_ZONE_OFFSET, 2, UPPER},
    {"TZH", PATTERN_ZONE_HOUR, 2, UPPER},
    {"TZM", PATTERN_ZONE_MINUTE, 2, UPPER},
    {"TZ", PATTERN_ZONE, 0, UPPER},
};
enum { WORDS = sizeof words / sizeof words[0], WORD_MAX = 16 };

/* A pattern where it stands in a template. */
struct piece {
	const struct pattern_word *word;
	enum letters letters;
	bool plain;          /* FM: no blanks and no zeros for padding */
	bool translated;     /* TM: no blanks behind names */
	const char *ordinal; /* "TH", "th" or NULL */
};

/* A time, and what is computed from it. */
struct moment {
	struct civil c;
	int64_t day; /* since 1970-01-01 */
	int64_t year_day, iso_year, iso_week;
	int weekday; /* 0 = Monday */
	bool zoned;
};

static struct moment moment_of(int64_t us, bool zoned)
{
	struct moment m = {.c = civil_of_timestamp(us), .zoned = zoned};
	m.day = days_from_civil(m.c.year, m.c.month, m.c.day);
	m.weekday = (int)(m.day + 3 - 7 * floor_div(m.day + 3, 7)); /* 1970-01-01: a Thursday */
	m.year_day = m.day - days_from_civil(m.c.year, 1, 1) + 1;
	int64_t thursday = m.day - m.weekday + 3;
	m.iso_year = civil_of_days(thursday).year;
	m.iso_week = (thursday - days_from_civil(m.iso_year, 1, 1)) / 7 + 1;
	return m;
}

/* ---- reading a template ---------------------------------------------------------------------- */

static bool takes(struct str *t, const char *text)
{
	size_t len = strlen(text);
	if (t->len < len || memcmp(t->ptr, text, len) != 0)
		return false;
	*t = str_from(t->ptr + len, t->len - len);
	return true;
}

static bool takes_lower(struct str *t, const char *text)
{
	char lower[WORD_MAX];
	size_t n = 0;
	for (; text[n]; n++)
		lower[n] = (char)(text[n] >= 'A' && text[n] <= 'Z' ? text[n] + 'a' - 'A' : text[n]);
	lower[n] = '\0';
	return takes(t, lower);
}

static bool take_word(struct str *t, struct piece *p)
{
	for (int i = 0; i < WORDS; i++) {
		p->word = &words[i];
		p->letters = words[i].letters;
		if (takes(t, words[i].text))
			return true;
		p->letters = LOWER;
		if (words[i].letters == UPPER && takes_lower(t, words[i].text))
			return true;
	}
	return false;
}

/* A pattern with what belongs to it; a prefix is taken in any case. */
static bool take_piece(struct str *t, struct piece *p)
{
	*p = (struct piece){.word = NULL};
	p->plain = takes(t, "FM") || takes(t, "fm");
	p->translated = !p->plain && (takes(t, "TM") || takes(t, "tm"));
	if (!take_word(t, p))
		return false;
	p->ordinal = takes(t, "TH") ? "TH" : takes(t, "th") ? "th" : NULL;
	if (!p->ordinal)
		(void)takes(t, "SP");
	return true;
}

/* "quoted", where a backslash takes the next character as it is; \" outside; or one character. */
static void copy_literal(struct str *t, struct writer *w)
{
	bool quoted = takes(t, "\"");
	while (t->len > 0) {
		if (quoted && takes(t, "\""))
			return;
		if (t->len > 1 && t->ptr[0] == '\\' && (quoted || t->ptr[1] == '"'))
			(void)takes(t, "\\");
		do { /* a character may have several bytes */
			write_u8(w, (uint8_t)t->ptr[0]);
			*t = str_from(t->ptr + 1, t->len - 1);
		} while (t->len > 0 && ((uint8_t)t->ptr[0] & 0xc0) == 0x80);
		if (!quoted)
			return;
	}
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_number(struct writer *w, const struct piece *p, int64_t n, int width)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%0*lld", p->plain ? 0 : width, (long long)n);
	write_bytes(w, bytes_of(text, (size_t)len));
	if (!p->ordinal)
		return;
	char last = text[len - 1], before = len > 1 ? text[len - 2] : '0';
	const char *ending = before == '1' ? "th"
	                     : last == '1' ? "st"
	                     : last == '2' ? "nd"
	                     : last == '3' ? "rd"
	                                   : "th";
	for (int i = 0; i < 2; i++)
		write_u8(w, (uint8_t)(p->ordinal[0] == 'T' ? ending[i] - 'a' + 'A' : ending[i]));
}

/* Padded with blanks behind to `width`. */
static void write_name(struct writer *w, const struct piece *p, const char *name, int width)
{
	int len = (int)strlen(name);
	for (int i = 0; i < len; i++) {
		char c = name[i];
		bool up = p->letters == UPPER || (p->letters == TITLE && i == 0);
		if (c >= 'a' && c <= 'z' && up)
			c = (char)(c - 'a' + 'A');
		if (c >= 'A' && c <= 'Z' && !up)
			c = (char)(c - 'A' + 'a');
		write_u8(w, (uint8_t)c);
	}
	for (int i = len; i < width && !p->plain && !p->translated; i++)
		write_u8(w, ' ');
}

static void write_letters(struct writer *w, const struct piece *p, const char *pair)
{
	char dotted[5] = {pair[0], '.', pair[1], '.', '\0'};
	write_name(w, p, p->word->digits ? dotted : pair, 0);
}

static void write_year(struct writer *w, const struct piece *p, int64_t year)
{
	static const int64_t below[] = {1, 10, 100, 1000};
	int digits = p->word->digits;
	int64_t shown = year <= 0 ? 1 - year : year;
	write_number(w, p, digits < 4 ? shown % below[digits] : shown, digits);
}

static void write_century(struct writer *w, const struct piece *p, int64_t year)
{
	int64_t century = year > 0 ? (year - 1) / 100 + 1 : year / 100 - 1;
	bool wide = century > 99 || century < -99;
	write_number(w, p, century, wide ? 0 : century < 0 ? 3 : 2);
}

static void write_clock(struct writer *w, const struct piece *p, const struct civil *c)
{
	static const int64_t unit[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
	struct piece bare = {.ordinal = p->ordinal};
	int digits = p->word->digits;
	switch ((int)p->word->pattern) {
	case PATTERN_HOUR12:
		write_number(w, p, c->hour % 12 == 0 ? 12 : c->hour % 12, 2);
		break;
	case PATTERN_HOUR24:
		write_number(w, p, c->hour, 2);
		break;
	case PATTERN_MINUTE:
		write_number(w, p, c->minute, 2);
		break;
	case PATTERN_SECOND:
		write_number(w, p, c->second, 2);
		break;
	case PATTERN_FRACTION: /* digits behind a point: zeros in front count */
		write_number(w, &bare, c->us / unit[digits], digits);
		break;
	case PATTERN_DAY_SECOND:
		write_number(w, p, (c->hour * 60 + c->minute) * 60 + c->second, 0);
		break;
	case PATTERN_MERIDIEM:
		write_letters(w, p, c->hour >= 12 ? "pm" : "am");
		break;
	}
}

static void write_month(struct writer *w, const struct piece *p, const struct civil *c)
{
	struct piece same = *p; /* a numeral is the same in all languages */
	same.translated = false;
	static const char *const names[] = {"January", "February", "March", "April", "May", "June",
	    "July", "August", "September", "October", "November", "December"};
	static const char *const roman[] = {
	    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"};
	char brief[4] = {0};
	memcpy(brief, names[c->month - 1], 3);
	switch ((int)p->word->pattern) {
	case PATTERN_MONTH:
		write_number(w, p, c->month, 2);
		break;
	case PATTERN_MONTH_NAME:
		write_name(w, p, names[c->month - 1], 9);
		break;
	case PATTERN_MONTH_SHORT:
		write_name(w, p, brief, 0);
		break;
	case PATTERN_MONTH_ROMAN:
		write_name(w, &same, roman[c->month - 1], 4);
		break;
	}
}

static void write_day(struct writer *w, const struct piece *p, const struct moment *m)
{
	static const char *const names[] = {
	    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
	enum { JULIAN_OF_1970 = 2440588 };
	char brief[4] = {0};
	memcpy(brief, names[m->weekday], 3);
	switch ((int)p->word->pattern) {
	case PATTERN_DAY:
		write_number(w, p, m->c.day, 2);
		break;
	case PATTERN_DAY_NAME:
		write_name(w, p, names[m->weekday], 9);
		break;
	case PATTERN_DAY_SHORT:
		write_name(w, p, brief, 0);
		break;
	case PATTERN_DAY_OF_YEAR:
		write_number(w, p, m->year_day, 3);
		break;
	case PATTERN_ISO_DAY_OF_YEAR:
		write_number(w, p, (m->iso_week - 1) * 7 + m->weekday + 1, 3);
		break;
	case PATTERN_DAY_OF_WEEK:
		write_number(w, p, (m->weekday + 1) % 7 + 1, 1);
		break;
	case PATTERN_ISO_DAY_OF_WEEK:
		write_number(w, p, m->weekday + 1, 1);
		break;
	case PATTERN_JULIAN:
		write_number(w, p, m->day + JULIAN_OF_1970, 0);
		break;
	}
}

static void write_calendar(struct writer *w, const struct piece *p, const struct moment *m)
{
	int64_t shown = m->c.year <= 0 ? 1 - m->c.year : m->c.year;
	struct piece bare = {.ordinal = p->ordinal};
	char comma[40];
	switch ((int)p->word->pattern) {
	case PATTERN_ERA:
		write_letters(w, p, m->c.year <= 0 ? "bc" : "ad");
		break;
	case PATTERN_YEAR:
		write_year(w, p, m->c.year);
		break;
	case PATTERN_ISO_YEAR:
		write_year(w, p, m->iso_year);
		break;
	case PATTERN_YEAR_COMMA:
		(void)snprintf(comma, sizeof comma, "%lld,", (long long)(shown / 1000));
		write_cstr(w, comma);
		write_number(w, &bare, shown % 1000, 3);
		break;
	case PATTERN_CENTURY:
		write_century(w, p, m->c.year);
		break;
	case PATTERN_QUARTER:
		write_number(w, p, (m->c.month - 1) / 3 + 1, 1);
		break;
	case PATTERN_MONTH_WEEK:
		write_number(w, p, (m->c.day - 1) / 7 + 1, 1);
		break;
	case PATTERN_YEAR_WEEK:
		write_number(w, p, (m->year_day - 1) / 7 + 1, 2);
		break;
	case PATTERN_ISO_WEEK:
		write_number(w, p, m->iso_week, 2);
		break;
	}
}

static void write_zone(struct writer *w, const struct piece *p, bool zoned)
{
	if (p->word->pattern == PATTERN_ZONE_OFFSET)
		write_cstr(w, p->plain ? "+0" : "+00");
	else if (p->word->pattern == PATTERN_ZONE_HOUR)
		write_cstr(w, "+00");
	else if (p->word->pattern == PATTERN_ZONE_MINUTE)
		write_cstr(w, "00");
	else if (p->word->pattern == PATTERN_ZONE && zoned)
		write_name(w, p, "UTC", 0);
}

static void write_piece(struct writer *w, const struct piece *p, const struct moment *m)
{
	enum pattern pattern = p->word->pattern;
	if (pattern <= PATTERN_MERIDIEM)
		write_clock(w, p, &m->c);
	else if (pattern >= PATTERN_MONTH && pattern <= PATTERN_MONTH_ROMAN)
		write_month(w, p, &m->c);
	else if (pattern >= PATTERN_DAY && pattern <= PATTERN_JULIAN)
		write_day(w, p, m);
	else if (pattern >= PATTERN_ZONE)
		write_zone(w, p, m->zoned);
	else
		write_calendar(w, p, m);
}

/* NULL for an infinite time and for an empty template, as PostgreSQL. */
BODY(time_to_char)
{
	struct writer w;
	bool zoned = call->args[0]->type.id == TYPE_TIMESTAMPTZ;
	writer_init(&w, FUNC_TEXT_MAX);
	EACH_ROW (ev, out, r) {
		struct str template = arg_s(&args[1], r);
		int64_t us = arg_i(&args[0], r);
		if (time_is_infinite(us) || template.len == 0) {
			func_null(ev, out, r);
			continue;
		}
		struct moment m = moment_of(us, zoned);
		w.limit = func_text_limit(call, args, r);
		while (template.len > 0 && w.err == ERR_OK) {
			struct piece p;
			if (take_piece(&template, &p))
				write_piece(&w, &p, &m);
			else if (template.len > 0)
				copy_literal(&template, &w);
		}
		out->s[r] = func_take(ev, out, r, &w);
	}
	writer_release(&w);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of OFFSETSPEC, see offsetspec.h. A cursor walks the text once; a colon inside a time is
 * never taken for the range's colon because an RFC 3339 time is read greedily, by its fixed layout.
 */
#include "log/base/offsetspec.h"
#include "log/base/limits.h"

struct cursor {
	struct str text;
	size_t pos;
	int64_t now_ms;
};

static size_t cursor_left(const struct cursor *c)
{
	return c->text.len - c->pos;
}

static char cursor_peek(const struct cursor *c, size_t ahead)
{
	return cursor_left(c) > ahead ? c->text.ptr[c->pos + ahead] : '\0';
}

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

static enum err bad_spec(const struct cursor *c, const char *expected)
{
	return err_note(ERR_INVALID, "'" STR_FMT "': at position %zu %s was expected",
	    STR_ARG(c->text), c->pos + 1, expected);
}

static bool cursor_word(struct cursor *c, struct str word)
{
	if (cursor_left(c) < word.len || memcmp(c->text.ptr + c->pos, word.ptr, word.len) != 0)
		return false;
	char next = cursor_peek(c, word.len);
	if (next != '\0' && next != ':')
		return false;
	c->pos += word.len;
	return true;
}

static enum err cursor_number(struct cursor *c, int64_t *ret_value)
{
	size_t len = 0;
	while (is_digit(cursor_peek(c, len)))
		len++;
	int64_t value;
	if (len == 0)
		return bad_spec(c, "a number");
	if (!str_to_i64(str_from(c->text.ptr + c->pos, len), &value))
		return err_note(ERR_INVALID,
		    "'" STR_FMT "': the number at position %zu is out of range", STR_ARG(c->text),
		    c->pos + 1);
	c->pos += len;
	*ret_value = value;
	return ERR_OK;
}

/* Exactly `digits` digits. */
static bool cursor_fixed(struct cursor *c, size_t digits, int64_t *ret_value)
{
	int64_t value = 0;
	for (size_t i = 0; i < digits; i++) {
		char ch = cursor_peek(c, i);
		if (!is_digit(ch))
			return false;
		value = value * 10 + (ch - '0');
	}
	c->pos += digits;
	*ret_value = value;
	return true;
}

static bool cursor_char(struct cursor *c, char ch)
{
	if (cursor_peek(c, 0) != ch)
		return false;
	c->pos++;
	return true;
}

/* ---- durations ------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int64_t ns;
} duration_units[] = {
    {"ms", MS_NS},
    {"s", S_NS},
    {"m", 60 * S_NS},
    {"h", 3600 * S_NS},
    {"d", 86400 * S_NS},
    {"w", 7 * 86400 * S_NS},
};

static enum err cursor_unit(struct cursor *c, int64_t *ret_ns)
{
	size_t len = 0;
	while (cursor_peek(c, len) >= 'a' && cursor_peek(c, len) <= 'z')
		len++;
	struct str name = str_from(c->text.ptr + c->pos, len);
	for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++)
		if (str_equal(name, str_of(duration_units[i].name))) {
			c->pos += len;
			*ret_ns = duration_units[i].ns;
			return ERR_OK;
		}
	return bad_spec(c, "a unit (ms, s, m, h, d, w)");
}

/* One or more NUMBER UNIT, up to the end or a colon. */
static enum err cursor_duration(struct cursor *c, int64_t *ret_ns)
{
	int64_t total_ns = 0;
	do {
		int64_t value = 0, unit_ns = 0, part_ns;
		TRY(cursor_number(c, &value));
		if (value == 0 && total_ns == 0 &&
		    (cursor_left(c) == 0 || cursor_peek(c, 0) == ':'))
			break;
		TRY(cursor_unit(c, &unit_ns));
		if (__builtin_mul_overflow(value, unit_ns, &part_ns) ||
		    __builtin_add_overflow(total_ns, part_ns, &total_ns))
			return err_note(
			    ERR_INVALID, "'" STR_FMT "': longer than 292 years", STR_ARG(c->text));
	} while (is_digit(cursor_peek(c, 0)));
	*ret_ns = total_ns;
	return ERR_OK;
}

enum err duration_parse(struct str text, int64_t *ret_ns)
{
	struct cursor c = {text, 0, 0};
	int64_t ns;
	TRY(cursor_duration(&c, &ns));
	if (cursor_left(&c) > 0)
		return bad_spec(&c, "the end");
	*ret_ns = ns;
	return ERR_OK;
}

/* ---- times ----------------------------------------------------------------------------------- */

/* Days from 1970-01-01 to the given civil date (proleptic Gregorian): Howard Hinnant's algorithm.
 */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	return era * 146097 + day_of_era - 719468;
}

static int64_t month_days(int64_t year, int64_t month)
{
	static const int8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && leap);
}

/* Z or +HH:MM / -HH:MM behind a date and time. */
static enum err cursor_zone(struct cursor *c, int64_t *ret_offset_s)
{
	if (cursor_char(c, 'Z') || cursor_char(c, 'z')) {
		*ret_offset_s = 0;
		return ERR_OK;
	}
	char sign = cursor_peek(c, 0);
	if (sign != '+' && sign != '-')
		return err_note(ERR_INVALID,
		    "'" STR_FMT "': a time needs a zone: add Z for UTC, or an offset as +01:00",
		    STR_ARG(c->text));
	c->pos++;
	int64_t hours, minutes;
	if (!cursor_fixed(c, 2, &hours) || !cursor_char(c, ':') || !cursor_fixed(c, 2, &minutes) ||
	    hours > 23 || minutes > 59)
		return bad_spec(c, "a zone offset as +01:00");
	*ret_offset_s = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
	return ERR_OK;
}

/* HH:MM[:SS[.digits]] as milliseconds of the day; further digits are cut. */
static enum err cursor_clock(struct cursor *c, int64_t *ret_ms)
{
	int64_t hour, minute, second = 0, ms = 0;
	if (!cursor_fixed(c, 2, &hour) || !cursor_char(c, ':') || !cursor_fixed(c, 2, &minute))
		return bad_spec(c, "a time as 12:00:00");
	if (cursor_char(c, ':') && !cursor_fixed(c, 2, &second))
		return bad_spec(c, "seconds");
	if (hour > 23 || minute > 59 || second > 59)
		return bad_spec(c, "a time between 00:00:00 and 23:59:59");
	if (cursor_char(c, '.')) {
		if (!is_digit(cursor_peek(c, 0)))
			return bad_spec(c, "a fraction of a second");
		int64_t weight = 100;
		for (; is_digit(cursor_peek(c, 0)); c->pos++, weight /= 10)
			ms += (cursor_peek(c, 0) - '0') * weight;
	}
	*ret_ms = ((hour * 60 + minute) * 60 + second) * 1000 + ms;
	return ERR_OK;
}

static enum err cursor_rfc3339(struct cursor *c, int64_t *ret_ms)
{
	int64_t year, month, day, clock_ms = 0, zone_s = 0;
	if (!cursor_fixed(c, 4, &year) || !cursor_char(c, '-') || !cursor_fixed(c, 2, &month) ||
	    !cursor_char(c, '-') || !cursor_fixed(c, 2, &day))
		return bad_spec(c, "a date as 2025-03-01");
	if (month < 1 || month > 12 || day < 1 || day > month_days(year, month))
		return err_note(
		    ERR_INVALID, "'" STR_FMT "': there is no such date", STR_ARG(c->text));
	char t = cursor_peek(c, 0);
	if (t != 'T' && t != 't' && t != ' ')
		return err_note(ERR_INVALID,
		    "'" STR_FMT "': a date alone names no instant: add a time and a zone, as "
		    "2025-03-01T00:00:00Z",
		    STR_ARG(c->text));
	c->pos++;
	TRY(cursor_clock(c, &clock_ms));
	TRY(cursor_zone(c, &zone_s));
	*ret_ms = days_from_civil(year, month, day) * 86400000 + clock_ms - zone_s * 1000;
	return ERR_OK;
}

static bool cursor_is_date(const struct cursor *c)
{
	for (size_t i = 0; i < 4; i++)
		if (!is_digit(cursor_peek(c, i)))
			return false;
	return cursor_peek(c, 4) == '-';
}

static enum err cursor_time(struct cursor *c, int64_t *ret_ms)
{
	if (cursor_is_date(c))
		return cursor_rfc3339(c, ret_ms);
	if (cursor_peek(c, 0) != '-')
		return cursor_number(c, ret_ms);
	int64_t ns;
	c->pos++;
	TRY(cursor_duration(c, &ns));
	*ret_ms = c->now_ms - ns / MS_NS;
	return ERR_OK;
}

enum err time_parse(struct str text, int64_t now_ms, int64_t *ret_ms)
{
	struct cursor c = {text, 0, now_ms};
	int64_t ms;
	TRY(cursor_time(&c, &ms));
	if (cursor_left(&c) > 0)
		return bad_spec(&c, "the end");
	*ret_ms = ms;
	return ERR_OK;
}

/* ---- places and ranges ----------------------------------------------------------------------- */

static bool cursor_keyword(struct cursor *c, struct offset_point *ret_point)
{
	static const struct {
		const char *word;
		enum offset_kind kind;
	} words[] = {
	    {"start", OFFSET_START},
	    {"beginning", OFFSET_START},
	    {"end", OFFSET_END},
	    {"stored", OFFSET_STORED},
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (cursor_word(c, str_of(words[i].word))) {
			*ret_point = (struct offset_point){words[i].kind, 0};
			return true;
		}
	return false;
}

/* A place that is no time: a word, N, -N or +N. */
static enum err cursor_place(struct cursor *c, struct offset_point *ret_point)
{
	if (cursor_keyword(c, ret_point))
		return ERR_OK;
	struct offset_point p = {OFFSET_AT, 0};
	if (cursor_char(c, '-'))
		p.kind = OFFSET_BEFORE_END;
	else if (cursor_char(c, '+'))
		p.kind = OFFSET_AFTER_START;
	else if (!is_digit(cursor_peek(c, 0)))
		return bad_spec(c, "start, end, stored, an offset, +N, -N, or @TIME");
	TRY(cursor_number(c, &p.value));
	*ret_point = p;
	return ERR_OK;
}

/* One side behind '@': a time, or a word as in @-1h:end. */
static enum err cursor_time_side(struct cursor *c, struct offset_point *ret_point)
{
	if (cursor_keyword(c, ret_point))
		return ERR_OK;
	int64_t ms;
	TRY(cursor_time(c, &ms));
	*ret_point = (struct offset_point){OFFSET_TIME, ms};
	return ERR_OK;
}

static enum err cursor_side(struct cursor *c, bool time, struct offset_point *ret_point)
{
	if (cursor_char(c, '@'))
		time = true;
	return time ? cursor_time_side(c, ret_point) : cursor_place(c, ret_point);
}

/* kcat's s@MS and e@MS: one side each. */
static bool cursor_kcat(struct cursor *c, char side)
{
	if (cursor_peek(c, 0) != side || cursor_peek(c, 1) != '@')
		return false;
	c->pos += 2;
	return true;
}

static enum err cursor_range(struct cursor *c, struct offset_spec *spec)
{
	bool time = cursor_peek(c, 0) == '@';
	if (cursor_peek(c, 0) != ':')
		TRY(cursor_side(c, time, &spec->from));
	if (cursor_left(c) == 0)
		return spec->from.kind ? ERR_OK : bad_spec(c, "an offset");
	if (!cursor_char(c, ':'))
		return bad_spec(c, "':' or the end");
	if (cursor_left(c) == 0)
		return spec->from.kind ? ERR_OK : bad_spec(c, "an offset");
	TRY(cursor_side(c, time, &spec->to));
	return cursor_left(c) == 0 ? ERR_OK : bad_spec(c, "the end");
}

enum err offset_spec_parse(struct str text, int64_t now_ms, struct offset_spec *ret_spec)
{
	struct cursor c = {text, 0, now_ms};
	struct offset_spec spec = {{OFFSET_NONE, 0}, {OFFSET_NONE, 0}};
	bool from = cursor_kcat(&c, 's');
	if (!from && !cursor_kcat(&c, 'e')) {
		TRY(cursor_range(&c, &spec));
		*ret_spec = spec;
		return ERR_OK;
	}
	struct offset_point *p = from ? &spec.from : &spec.to;
	p->kind = OFFSET_TIME;
	TRY(cursor_number(&c, &p->value));
	if (cursor_left(&c) > 0)
		return bad_spec(&c, "the end");
	*ret_spec = spec;
	return ERR_OK;
}

enum err offset_point_parse(struct str text, int64_t now_ms, struct offset_point *ret_point)
{
	struct cursor c = {text, 0, now_ms};
	struct offset_point p;
	if (cursor_is_date(&c)) {
		p.kind = OFFSET_TIME;
		TRY(cursor_time(&c, &p.value));
	} else if (cursor_kcat(&c, 's') || cursor_kcat(&c, 'e')) {
		p.kind = OFFSET_TIME;
		TRY(cursor_number(&c, &p.value));
	} else {
		TRY(cursor_side(&c, false, &p));
	}
	if (cursor_left(&c) > 0)
		return bad_spec(
		    &c, cursor_peek(&c, 0) == ':' ? "one place, not a range," : "the end");
	*ret_point = p;
	return ERR_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dates and timestamps as text. Input is what PostgreSQL prints and ISO 8601:
 *   [blanks] date [(T|blanks) time [blanks] [zone]] [blanks BC] [blanks]
 *   date  yyyy-mm-dd (also / and . between; year of 3 digits or more), yyyymmdd
 *   time  hh:mm[:ss[.f]], hhmm[ss[.f]]            zone  Z, UTC, GMT, (+|-)hh[[:]mm[:ss]]
 */
#include "processor/op/datetime.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

/* ---- output ---------------------------------------------------------------------------------- */

static char *put_two(char *to, int v)
{
	to[0] = (char)('0' + v / 10);
	to[1] = (char)('0' + v % 10);
	return to + 2;
}

/* At least four digits; year 0 is 1 BC. */
static char *put_date(char *to, struct civil c)
{
	int64_t year = c.year > 0 ? c.year : 1 - c.year;
	char digits[12];
	int len = 0;
	for (; year > 0 || len < 4; year /= 10)
		digits[len++] = (char)('0' + year % 10);
	while (len > 0)
		*to++ = digits[--len];
	*to++ = '-';
	to = put_two(to, c.month);
	*to++ = '-';
	return put_two(to, c.day);
}

static char *put_time(char *to, struct civil c)
{
	to = put_two(to, c.hour);
	*to++ = ':';
	to = put_two(to, c.minute);
	*to++ = ':';
	to = put_two(to, c.second);
	if (c.us == 0)
		return to;
	*to++ = '.';
	for (int unit = 100000, rest = c.us; rest > 0; rest %= unit, unit /= 10)
		*to++ = (char)('0' + rest / unit);
	return to;
}

static bool put_infinite(struct writer *w, int64_t t)
{
	if (time_is_infinite(t))
		write_cstr(w, t < 0 ? "-infinity" : "infinity");
	return time_is_infinite(t);
}

void date_to_text(struct writer *w, int64_t days)
{
	char buf[32];
	if (put_infinite(w, days))
		return;
	struct civil c = civil_of_days(days);
	write_str(w, str_from(buf, (size_t)(put_date(buf, c) - buf)));
	if (c.year <= 0)
		write_cstr(w, " BC");
}

void timestamp_to_text(struct writer *w, int64_t us, bool zone)
{
	char buf[48];
	if (put_infinite(w, us))
		return;
	struct civil c = civil_of_timestamp(us);
	char *end = put_date(buf, c);
	*end++ = ' ';
	end = put_time(end, c);
	if (zone)
		end = memcpy(end, "+00", 3), end += 3;
	write_str(w, str_from(buf, (size_t)(end - buf)));
	if (c.year <= 0)
		write_cstr(w, " BC");
}

/* ---- input ----------------------------------------------------------------------------------- */

struct parse {
	const char *at, *end;
	struct civil c;
	int64_t zone_seconds;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}
static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}
static bool skip_blanks(struct parse *p)
{
	const char *from = p->at;
	while (p->at < p->end && is_blank(*p->at))
		p->at++;
	return p->at > from;
}
static bool next_is(const struct parse *p, char c)
{
	return p->at < p->end && *p->at == c;
}

static size_t digits_ahead(const struct parse *p)
{
	size_t n = 0;
	while (p->at + n < p->end && is_digit(p->at[n]))
		n++;
	return n;
}

/* min..max digits, max <= 7 */
static bool take_number(struct parse *p, size_t min, size_t max, int *ret)
{
	int v = 0;
	size_t n = 0;
	for (; n < max && p->at < p->end && is_digit(*p->at); n++)
		v = v * 10 + (*p->at++ - '0');
	*ret = v;
	return n >= min;
}

static bool take_date(struct parse *p)
{
	size_t digits = digits_ahead(p);
	int year;
	if (digits == 8)
		return take_number(p, 4, 4, &year) && (p->c.year = year, true) &&
		       take_number(p, 2, 2, &p->c.month) && take_number(p, 2, 2, &p->c.day);
	if (digits < 3 || digits > 7 || !take_number(p, 3, 7, &year))
		return false;
	p->c.year = year;
	if (p->at == p->end || (*p->at != '-' && *p->at != '/' && *p->at != '.'))
		return false;
	char separator = *p->at++;
	if (!take_number(p, 1, 2, &p->c.month) || !next_is(p, separator))
		return false;
	p->at++;
	return take_number(p, 1, 2, &p->c.day);
}

static bool take_fraction(struct parse *p)
{
	if (!next_is(p, '.'))
		return true;
	size_t digits = (p->at++, digits_ahead(p));
	if (digits <= 6) {
		int v;
		take_number(p, 0, 6, &v);
		for (size_t i = digits; i < 6; i++)
			v *= 10;
		p->c.us = v;
		return true;
	}
	char buf[40] = "0.";
	size_t kept = digits < sizeof buf - 3 ? digits : sizeof buf - 3;
	memcpy(buf + 2, p->at, kept);
	p->c.us = (int)rint(strtod(buf, NULL) * 1e6); /* may be 1,000,000: one more second */
	p->at += digits;
	return true;
}

static bool take_time(struct parse *p)
{
	size_t digits = digits_ahead(p);
	bool basic = digits == 4 || digits == 6;
	if (!take_number(p, 1, 2, &p->c.hour))
		return false;
	if (!basic && !next_is(p, ':'))
		return false;
	p->at += !basic;
	if (!take_number(p, basic ? 2 : 1, 2, &p->c.minute))
		return false;
	if (basic ? digits == 6 : next_is(p, ':')) {
		p->at += !basic;
		if (!take_number(p, basic ? 2 : 1, 2, &p->c.second) || !take_fraction(p))
			return false;
	}
	struct civil c = p->c;
	if (c.minute > 59 || c.second > 60 || c.hour > 24)
		return false;
	return c.hour < 24 || (c.minute == 0 && c.second == 0 && c.us == 0);
}

static bool take_word(struct parse *p, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(p->end - p->at) < len || strncasecmp(p->at, word, len) != 0)
		return false;
	p->at += len;
	return true;
}

static bool take_zone(struct parse *p)
{
	if (take_word(p, "UTC") || take_word(p, "GMT") || take_word(p, "Z"))
		return true;
	if (p->at == p->end || (*p->at != '+' && *p->at != '-'))
		return true; /* no zone */
	int sign = *p->at++ == '-' ? -1 : 1, hour, minute = 0, second = 0;
	size_t digits = digits_ahead(p);
	if (!take_number(p, 1, 2, &hour))
		return false;
	if (digits == 4 && !take_number(p, 2, 2, &minute))
		return false;
	if (digits <= 2 && next_is(p, ':')) {
		p->at++;
		if (!take_number(p, 2, 2, &minute))
			return false;
		if (next_is(p, ':') && (p->at++, !take_number(p, 2, 2, &second)))
			return false;
	}
	if (hour > 15 || minute > 59 || second > 59)
		return false;
	p->zone_seconds = sign * (hour * 3600 + minute * 60 + second);
	return true;
}

static bool take_tail(struct parse *p)
{
	bool bc = false;
	skip_blanks(p);
	if (take_word(p, "BC"))
		bc = true;
	else
		take_word(p, "AD");
	skip_blanks(p);
	if (p->at < p->end || p->c.year == 0)
		return false;
	if (bc)
		p->c.year = 1 - p->c.year;
	return p->c.month >= 1 && p->c.month <= 12 && p->c.day >= 1 &&
	       p->c.day <= days_in_month(p->c.year, p->c.month);
}

static bool take_timestamp(struct parse *p)
{
	if (!take_date(p))
		return false;
	bool separated = skip_blanks(p);
	if (p->at < p->end && (*p->at == 'T' || *p->at == 't')) {
		p->at++;
		if (p->at == p->end || !is_digit(*p->at))
			return false;
		separated = true;
	}
	if (separated && p->at < p->end && is_digit(*p->at)) {
		if (!take_time(p))
			return false;
		skip_blanks(p);
		if (!take_zone(p))
			return false;
	}
	return take_tail(p);
}

/* Words with a fixed meaning. */
static bool special(struct str s, int64_t *ret)
{
	static const struct {
		const char *word;
		int64_t value;
	} words[] = {
	    {"epoch", 0}, {"infinity", TIME_POS_INFINITY}, {"-infinity", TIME_NEG_INFINITY}};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (s.len == strlen(words[i].word) &&
		    strncasecmp(s.ptr, words[i].word, s.len) == 0) {
			*ret = words[i].value;
			return true;
		}
	return false;
}

static struct str trim(struct str s)
{
	while (s.len > 0 && is_blank(s.ptr[0]))
		s = str_from(s.ptr + 1, s.len - 1);
	while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

enum err date_from_text(struct str text, int64_t *ret_days)
{
	text = trim(text);
	if (text.len == 0)
		return ERR_BAD_VALUE;
	if (special(text, ret_days))
		return ERR_OK;
	struct parse p = {.at = text.ptr, .end = text.ptr + text.len};
	if (!take_timestamp(&p))
		return ERR_BAD_VALUE;
	int64_t days = days_from_civil(p.c.year, p.c.month, p.c.day);
	if (days < DATE_MIN || days >= DATE_END)
		return ERR_NUMERIC_OVERFLOW;
	*ret_days = days;
	return ERR_OK;
}

enum err timestamp_from_text(struct str text, bool zone, int64_t *ret_us)
{
	text = trim(text);
	if (text.len == 0)
		return ERR_BAD_VALUE;
	if (special(text, ret_us))
		return ERR_OK;
	struct parse p = {.at = text.ptr, .end = text.ptr + text.len};
	if (!take_timestamp(&p))
		return ERR_BAD_VALUE;
	int64_t in_day = ((p.c.hour * 60 + p.c.minute) * 60 + p.c.second) * US_PER_SECOND + p.c.us;
	int128 us = (int128)days_from_civil(p.c.year, p.c.month, p.c.day) * US_PER_DAY + in_day;
	if (zone)
		us -= p.zone_seconds * US_PER_SECOND;
	if (us < TIMESTAMP_MIN || us >= TIMESTAMP_END)
		return ERR_NUMERIC_OVERFLOW;
	*ret_us = (int64_t)us;
	return ERR_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shortest round-trip digits by trying: 15 digits always identify a decimal that short, so the
 * answer is %.15g without trailing zeros, or 16 digits, or 17 (6 to 9 for float). PostgreSQL takes
 * the shortest decimal strictly inside the rounding interval, whereas strtod accepts one exactly on
 * its bound when the value is even: those are refused here. At a power of two the interval is
 * lopsided and the nearest decimal of a length may lie outside while the next one is inside.
 */
#include "processor/op/float_text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* d1.d2d3...e+xx as digits and exponent of the first digit. */
struct decimal {
	char digits[24];
	int count;
	int exponent;
};

static struct decimal decimal_of(const char *scientific)
{
	struct decimal d = {.count = 0};
	const char *at = scientific;
	for (; *at && *at != 'e'; at++)
		if (*at >= '0' && *at <= '9' && d.count < (int)sizeof d.digits)
			d.digits[d.count++] = *at;
	d.exponent = *at ? (int)strtol(at + 1, NULL, 10) : 0;
	return d;
}

static void spell(const struct decimal *d, char *buf, size_t len)
{
	snprintf(buf, len, "%.1s.%.*se%d", d->digits, d->count > 1 ? d->count - 1 : 1,
	    d->count > 1 ? d->digits + 1 : "0", d->exponent);
}

/* Is the decimal exactly half-way between two neighbours? Their middle is exact in long double. */
static bool on_bound(const struct decimal *d, long double middle)
{
	char buf[96];
	snprintf(buf, sizeof buf, "%.50Le", middle);
	struct decimal m = {.count = 0};
	const char *at = buf;
	bool same = true;
	for (; *at && *at != 'e'; at++) {
		if (*at < '0' || *at > '9')
			continue;
		same &= *at == (m.count < d->count ? d->digits[m.count] : '0');
		m.count++;
	}
	return same && *at && (int)strtol(at + 1, NULL, 10) == d->exponent;
}

static bool reads_back(const struct decimal *d, double f, bool is_float4)
{
	char buf[48];
	spell(d, buf, sizeof buf);
	if (is_float4 ? strtof(buf, NULL) != (float)f : strtod(buf, NULL) != f)
		return false;
	long double up = is_float4 ? (long double)nextafterf((float)f, INFINITY)
	                           : (long double)nextafter(f, INFINITY);
	long double down =
	    is_float4 ? (long double)nextafterf((float)f, 0) : (long double)nextafter(f, 0);
	return !on_bound(d, ((long double)f + up) / 2) && !on_bound(d, ((long double)f + down) / 2);
}

/* One more in the last place; carries ripple to the front. */
static struct decimal next_decimal(struct decimal d)
{
	int i = d.count - 1;
	while (i >= 0 && d.digits[i] == '9')
		d.digits[i--] = '0';
	if (i >= 0) {
		d.digits[i]++;
	} else {
		d.digits[0] = '1';
		d.exponent++;
	}
	return d;
}

/* f > 0, finite */
static struct decimal shortest(double f, bool is_float4)
{
	int from = is_float4 ? (f < 0x1p-126 ? 1 : 6) : (f < 0x1p-1022 ? 1 : 15),
	    last = is_float4 ? 9 : 17;
	int binary_exponent;
	bool power_of_two = frexp(f, &binary_exponent) == 0.5;
	struct decimal d = {.count = 0};
	for (int digits = from; digits <= last; digits++) {
		char buf[48];
		snprintf(buf, sizeof buf, "%.*e", digits - 1, f);
		d = decimal_of(buf);
		if (digits == last || reads_back(&d, f, is_float4))
			break;
		struct decimal next = next_decimal(d);
		if (power_of_two && reads_back(&next, f, is_float4)) {
			d = next;
			break;
		}
	}
	while (d.count > 1 && d.digits[d.count - 1] == '0')
		d.count--;
	return d;
}

static size_t lay_out(char *buf, struct decimal d, bool negative, int fixed_below)
{
	char *to = buf;
	if (negative)
		*to++ = '-';
	if (d.exponent < -4 || d.exponent >= fixed_below) {
		*to++ = d.digits[0];
		if (d.count > 1)
			*to++ = '.';
		for (int i = 1; i < d.count; i++)
			*to++ = d.digits[i];
		to += snprintf(to, 8, "e%c%02d", d.exponent < 0 ? '-' : '+', abs(d.exponent));
		return (size_t)(to - buf);
	}
	if (d.exponent < 0) {
		*to++ = '0';
		*to++ = '.';
		for (int i = -1; i > d.exponent; i--)
			*to++ = '0';
	}
	for (int i = 0; i < d.count || i <= d.exponent; i++) {
		*to++ = i < d.count ? d.digits[i] : '0';
		if (i == d.exponent && i + 1 < d.count)
			*to++ = '.';
	}
	return (size_t)(to - buf);
}

static size_t to_text(char *buf, double f, bool is_float4)
{
	const char *word = isnan(f) ? "NaN" : f > 0 ? "Infinity" : "-Infinity";
	if (isnan(f) || isinf(f)) {
		memcpy(buf, word, strlen(word));
		return strlen(word);
	}
	if (f == 0) {
		memcpy(buf, "-0", 2);
		if (!signbit(f))
			buf[0] = '0';
		return signbit(f) ? 2 : 1;
	}
	double whole = fabs(f);
	if (whole < (is_float4 ? 1e6 : 1e15) && whole == floor(whole))
		return (size_t)snprintf(buf, FLOAT_TEXT_MAX, "%.0f", f);
	return lay_out(buf, shortest(whole, is_float4), f < 0, is_float4 ? 6 : 15);
}

size_t float8_to_text(char *buf, double f)
{
	return to_text(buf, f, false);
}

size_t float4_to_text(char *buf, float f)
{
	return to_text(buf, f, true);
}

/* ---- input ----------------------------------------------------------------------------------- */

enum { INPUT_MAX = 400 };

static enum err from_text(struct str s, bool is_float4, double *ret)
{
	char buf[INPUT_MAX];
	while (s.len > 0 && (s.ptr[0] == ' ' || (s.ptr[0] >= '\t' && s.ptr[0] <= '\r')))
		s = str_from(s.ptr + 1, s.len - 1);
	while (s.len > 0 &&
	       (s.ptr[s.len - 1] == ' ' || (s.ptr[s.len - 1] >= '\t' && s.ptr[s.len - 1] <= '\r')))
		s.len--;
	if (s.len == 0 || s.len >= sizeof buf || memchr(s.ptr, '(', s.len) ||
	    memchr(s.ptr, 0, s.len))
		return ERR_BAD_VALUE; /* "nan(...)" is the C library's */
	memcpy(buf, s.ptr, s.len);
	buf[s.len] = '\0';
	char *end;
	errno = 0;
	double f = is_float4 ? (double)strtof(buf, &end) : strtod(buf, &end);
	if (*end)
		return ERR_BAD_VALUE;
	if (errno == ERANGE && (f == 0 || isinf(f)))
		return ERR_NUMERIC_OVERFLOW;
	*ret = f;
	return ERR_OK;
}

enum err float8_from_text(struct str text, double *ret_value)
{
	return from_text(text, false, ret_value);
}

enum err float4_from_text(struct str text, double *ret_value)
{
	return from_text(text, true, ret_value);
}

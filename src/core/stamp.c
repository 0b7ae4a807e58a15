/* SPDX-License-Identifier: Apache-2.0
 * Points in time as RFC 3339 writes them. */
#include "stamp.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define END apr_time_from_sec(APR_INT64_C(253402300800)) /* years of four digits */

static int two_digits(const char *text)
{
    return apr_isdigit(text[0]) && apr_isdigit(text[1]) ? (text[0] - '0') * 10 + text[1] - '0' : -1;
}

static int days_of(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month] + (month == 1 && is_leap);
}

/* "Z" or "+08:00" and nothing behind it. */
static int read_offset(const char *text, apr_int32_t *seconds)
{
    if (*text == 'Z' || *text == 'z') {
        return text[1] == '\0';
    }
    if ((*text != '+' && *text != '-') || two_digits(text + 1) < 0 || text[3] != ':' ||
        two_digits(text + 4) < 0 || two_digits(text + 1) > 23 || two_digits(text + 4) > 59 ||
        text[6] != '\0') {
        return 0;
    }
    *seconds = (two_digits(text + 1) * 60 + two_digits(text + 4)) * (*text == '-' ? -60 : 60);
    return 1;
}

apr_time_t apipool_stamp_read(const char *text)
{
    apr_time_exp_t when;
    apr_time_t result;

    if (strlen(text) < 20 || text[4] != '-' || text[7] != '-' ||
        (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text[13] != ':' ||
        text[16] != ':' || two_digits(text) < 19) {
        return 0;
    }
    memset(&when, 0, sizeof(when));
    when.tm_year = two_digits(text) * 100 + two_digits(text + 2) - 1900;
    when.tm_mon = two_digits(text + 5) - 1;
    when.tm_mday = two_digits(text + 8);
    when.tm_hour = two_digits(text + 11);
    when.tm_min = two_digits(text + 14);
    when.tm_sec = two_digits(text + 17);
    if (two_digits(text + 2) < 0 || when.tm_mon < 0 || when.tm_mon > 11 || when.tm_mday < 1 ||
        when.tm_mday > days_of(when.tm_year + 1900, when.tm_mon) || when.tm_hour < 0 ||
        when.tm_hour > 23 || when.tm_min < 0 || when.tm_min > 59 || when.tm_sec < 0 ||
        when.tm_sec > 60) {
        return 0;
    }
    text += 19;
    if (*text == '.') {
        apr_int32_t digit = 100000;
        if (!apr_isdigit(text[1])) {
            return 0;
        }
        while (apr_isdigit(*++text)) {
            when.tm_usec += digit * (*text - '0');
            digit /= 10;
        }
    }
    if (!read_offset(text, &when.tm_gmtoff)) {
        return 0;
    }
    return apr_time_exp_gmt_get(&result, &when) == APR_SUCCESS && result < END ? result : 0;
}

void apipool_stamp_write(apr_time_t when, char out[APIPOOL_STAMP_SIZE])
{
    apr_time_exp_t date;
    apr_time_exp_gmt(&date, when);
    apr_snprintf(out, APIPOOL_STAMP_SIZE, "%04d-%02d-%02dT%02d:%02d:%02dZ", date.tm_year + 1900,
                 date.tm_mon + 1, date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec);
}

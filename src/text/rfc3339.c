/* SPDX-License-Identifier: Apache-2.0
 * Reads and writes RFC 3339 times. */
#include "rfc3339.h"

#include <apr_date.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define END apr_time_from_sec(APR_INT64_C(253402300800)) /* of years with four digits */

static int number(const char *text, int digits)
{
    int value = 0;
    for (; digits > 0; digits--) {
        value = value * 10 + *text++ - '0';
    }
    return value;
}

static int days_of(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month] + (month == 1 && is_leap);
}

/* "Z" or "+08:00" and nothing after it. */
static int read_offset(const char *text, apr_int32_t *seconds)
{
    if (*text == 'Z' || *text == 'z') {
        return text[1] == '\0';
    }
    if ((*text != '+' && *text != '-') || !apr_date_checkmask(text + 1, "##:##") ||
        number(text + 1, 2) > 23 || number(text + 4, 2) > 59) {
        return 0;
    }
    *seconds = (number(text + 1, 2) * 60 + number(text + 4, 2)) * (*text == '-' ? -60 : 60);
    return 1;
}

apr_time_t apipool_rfc3339_read(const char *text)
{
    apr_time_t result;

    if (!apr_date_checkmask(text, "####-##-##*") || !text[10] || !strchr("Tt ", text[10]) ||
        !apr_date_checkmask(text + 11, "##:##:##*")) {
        return 0;
    }
    apr_time_exp_t when = {.tm_year = number(text, 4) - 1900,
                           .tm_mon = number(text + 5, 2) - 1,
                           .tm_mday = number(text + 8, 2),
                           .tm_hour = number(text + 11, 2),
                           .tm_min = number(text + 14, 2),
                           .tm_sec = number(text + 17, 2)};
    if (when.tm_year < 0 || when.tm_mon < 0 || when.tm_mon > 11 || when.tm_mday < 1 ||
        when.tm_mday > days_of(when.tm_year + 1900, when.tm_mon) || when.tm_hour > 23 ||
        when.tm_min > 59 || when.tm_sec > 60) {
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

void apipool_rfc3339_write(apr_time_t when, char out[APIPOOL_RFC3339_SIZE])
{
    apr_time_exp_t date;
    apr_time_exp_gmt(&date, when);
    apr_snprintf(out, APIPOOL_RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02dZ", date.tm_year + 1900,
                 date.tm_mon + 1, date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec);
}

/* Recorded values of PI Web API, which are JSON, to columns in one pass.
 *
 * Only the plain form is read: members in any order and any blanks between them, but numbers, states and texts without
 * escapes, times in UTC, and no member that could change what a value means. For anything else the reader gives up, and
 * io/pi/decode.py reads the body in another way, to the same result. Numbers are rounded correctly.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

#include "_json.h"
#include "_kernel.h"

/* The flags of a value: the same as in io/pi/compiled.py. */
#define GOOD 1
#define QUESTIONABLE 2
#define SUBSTITUTED 4
#define SYSTEM 8
#define WORD 16
#define NAMED 32
#define HARD 64 /* only within this file: the number is converted by Python, with the lock */

/* Members that a value has had: not twice. */
#define SEEN_TIME 1
#define SEEN_GOOD 2
#define SEEN_QUESTIONABLE 4
#define SEEN_SUBSTITUTED 8
#define SEEN_VALUE 16
#define NEEDED (SEEN_TIME | SEEN_GOOD | SEEN_VALUE)

#define NAN_BITS UINT64_C(0x7ff8000000000000)

typedef struct {
    Cursor at;
    const uint8_t *begin;
    uint8_t *times, *numbers, *flags, *offsets, *streams; /* unaligned, as buffers may be */
    Py_ssize_t row, max_rows, stream, max_streams;
    uint8_t *texts;
    size_t text_size, text_room;
    const uint8_t *day; /* the ten bytes of the last date, and its day */
    int64_t day_number;
    const uint8_t *middle; /* what stood between time and value in the row before, and what it meant */
    Py_ssize_t middle_size;
    unsigned middle_seen, middle_flags;
} Reader;

static inline int two_digits(const uint8_t *p, unsigned *number) {
    unsigned high = p[0] - (unsigned)'0', low = p[1] - (unsigned)'0';
    *number = 10 * high + low;
    return high <= 9 && low <= 9;
}

/* The day of a date such as 2024-01-31, counted from 1970-01-01. */
static int day_of(const uint8_t *p, int64_t *day) {
    static const uint8_t DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned century, year, month, date;
    if (!two_digits(p, &century) || !two_digits(p + 2, &year) || p[4] != '-' || !two_digits(p + 5, &month) ||
        p[7] != '-' || !two_digits(p + 8, &date))
        return 0;
    year += 100 * century;
    if (year < 1678 || year > 2261 || month < 1 || month > 12 || date < 1)
        return 0;
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (date > DAYS[month - 1] + (unsigned)(leap && month == 2))
        return 0;
    /* Years begin in March, so that a leap day is the last of its year. */
    int64_t y = (int64_t)year - (month <= 2), era = y / 400, of_era = y - 400 * era;
    int64_t of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + date - 1;
    *day = 146097 * era + 365 * of_era + of_era / 4 - of_era / 100 + of_year - 719468;
    return 1;
}

/* A time such as 2024-01-31T23:59:59.1234567Z in nanoseconds. */
static int time_of(Reader *r, const uint8_t *p, Py_ssize_t size, int64_t *time) {
    unsigned hour, minute, second;
    uint32_t fraction = 0;
    if (size < 20 || size > 30 || size == 21 || p[size - 1] != 'Z' || p[10] != 'T' || p[13] != ':' || p[16] != ':' ||
        !two_digits(p + 11, &hour) || !two_digits(p + 14, &minute) || !two_digits(p + 17, &second) || hour > 23 ||
        minute > 59 || second > 59)
        return 0;
    if (r->day == NULL || memcmp(r->day, p, 10) != 0) {
        if (!day_of(p, &r->day_number))
            return 0;
        r->day = p;
    }
    if (size > 20) {
        if (p[19] != '.')
            return 0;
        for (Py_ssize_t i = 20; i < 29; i++) {
            if (i < size - 1 && !digit(p[i]))
                return 0;
            fraction = 10 * fraction + (i < size - 1 ? p[i] - '0' : 0);
        }
    }
    *time = (r->day_number * 86400 + hour * 3600 + minute * 60 + second) * INT64_C(1000000000) + fraction;
    return 1;
}

/* Keep the text of the value that is read now. */
static int keep(Reader *r, const Text *found) {
    size_t size = r->text_size + (size_t)found->size;
    if (!found->plain || size > INT32_MAX)
        return 0;
    if (r->texts == NULL || size > r->text_room) {
        size_t room = 2 * size + 1024;
        uint8_t *grown = realloc(r->texts, room);
        if (grown == NULL)
            return 0;
        r->texts = grown;
        r->text_room = room;
    }
    memcpy(r->texts + r->text_size, found->start, (size_t)found->size);
    r->text_size = size;
    return 1;
}

static int truth(Reader *r, unsigned *flags, unsigned flag) {
    if (WORD_OF(&r->at, "true"))
        *flags |= flag;
    else if (!WORD_OF(&r->at, "false"))
        return 0;
    return 1;
}

/* A digital or a system state; `marked` says whether it tells which of them. */
static int state(Reader *r, unsigned *flags, int *marked) {
    int named = 0, coded = 0;
    *marked = 0;
    if (!token(&r->at, '{'))
        return 0;
    for (;;) {
        Text name, found;
        Decimal code;
        double number;
        if (!name_of(&r->at, &name))
            return 0;
        if (IS(&name, "Name")) {
            if (named++ || !text(&r->at, &found) || !keep(r, &found))
                return 0;
        } else if (IS(&name, "Value")) {
            if (coded++ || !decimal(&r->at, &code) || !code.whole || code.digits > INT32_MAX)
                return 0;
            number = (double)(code.negative ? -(int64_t)code.digits : (int64_t)code.digits);
            memcpy(r->numbers + 8 * r->row, &number, 8);
        } else if (IS(&name, "IsSystem")) {
            if ((*marked)++ || !truth(r, flags, SYSTEM))
                return 0;
        } else {
            return 0;
        }
        if (token(&r->at, '}')) {
            *flags |= NAMED;
            return named && coded;
        }
        if (!token(&r->at, ','))
            return 0;
    }
}

static int value(Reader *r, unsigned *flags, int *is_state, int *marked) {
    Text found;
    Decimal number;
    double nearby;
    uint64_t bits = NAN_BITS;
    if (at(&r->at, '{')) {
        *is_state = 1;
        return state(r, flags, marked);
    }
    if (at(&r->at, '"')) {
        memcpy(r->numbers + 8 * r->row, &bits, 8);
        *flags |= WORD | NAMED;
        return text(&r->at, &found) && keep(r, &found);
    }
    if (!decimal(&r->at, &number))
        return 0;
    if (nearest(&number, &nearby)) {
        memcpy(r->numbers + 8 * r->row, &nearby, 8);
        return 1;
    }
    bits = (uint64_t)(number.start - r->begin);
    memcpy(r->numbers + 8 * r->row, &bits, 8);
    *flags |= HARD;
    return 1;
}

/* The time of a value and what follows up to the value itself, where both are written as in the row before. */
static int as_before(Reader *r, int64_t *time) {
    static const char HEAD[] = "{\"Timestamp\":\"";
    const Py_ssize_t head = (Py_ssize_t)sizeof(HEAD) - 1;
    const uint8_t *p = r->at.p, *last;
    if (!r->middle_size || r->at.end - p < head + 31 + r->middle_size || memcmp(p, HEAD, head) != 0)
        return 0;
    p += head;
    last = memchr(p + 20, '"', 11); /* bytes there are, by what was compared above */
    if (last == NULL || memcmp(last + 1, r->middle, r->middle_size) != 0 || !time_of(r, p, last - p, time))
        return 0;
    r->at.p = last + 1 + r->middle_size;
    return 1;
}

/* One value with its time and flags, as the next row. */
static int item(Reader *r) {
    int64_t time = 0;
    unsigned seen = 0, flags = 0;
    int is_state = 0, marked = 0, known = 0;
    const uint8_t *middle = NULL;
    if (r->row == r->max_rows)
        return 0;
    if (as_before(r, &time)) {
        seen = r->middle_seen;
        flags = r->middle_flags;
        known = 1;
    } else if (!token(&r->at, '{')) {
        return 0;
    }
    for (;;) {
        Text name, found;
        if (known) {
            known = 0;
            name = (Text){(const uint8_t *)"Value", 5, 1, 1};
        } else if (!name_of(&r->at, &name)) {
            return 0;
        }
        unsigned member = 0;
        int read;
        if (IS(&name, "Value")) {
            member = SEEN_VALUE;
            if (middle != NULL && !(seen & SEEN_VALUE)) {
                r->middle = middle;
                r->middle_size = r->at.p - middle;
                r->middle_seen = seen;
                r->middle_flags = flags;
            }
            read = !(seen & SEEN_VALUE) && value(r, &flags, &is_state, &marked);
        } else if (IS(&name, "Timestamp")) {
            member = SEEN_TIME;
            int first = r->at.p - name.start == 11 && name.start[-2] == '{' && seen == 0;
            read = text(&r->at, &found) && found.plain && time_of(r, found.start, found.size, &time);
            middle = first ? r->at.p : NULL;
        } else if (IS(&name, "Good")) {
            member = SEEN_GOOD;
            read = truth(r, &flags, GOOD);
        } else if (IS(&name, "Questionable")) {
            member = SEEN_QUESTIONABLE;
            read = truth(r, &flags, QUESTIONABLE);
        } else if (IS(&name, "Substituted")) {
            member = SEEN_SUBSTITUTED;
            read = truth(r, &flags, SUBSTITUTED);
        } else if (IS(&name, "State") || IS(&name, "Text")) {
            return 0; /* names that the other way to read gives to values */
        } else {
            /* An object within a value is none that is known. */
            read = !at(&r->at, '{') && !at(&r->at, '[') && passed_over(&r->at, &name, 0);
        }
        if (!read || (seen & member))
            return 0;
        seen |= member;
        blanks(&r->at);
        if (at(&r->at, '}')) {
            r->at.p++;
            break;
        }
        if (!token(&r->at, ','))
            return 0;
    }
    if ((seen & NEEDED) != NEEDED)
        return 0;
    if (is_state && !marked && !(flags & GOOD))
        flags |= SYSTEM;
    int32_t offset = (int32_t)r->text_size;
    memcpy(r->times + 8 * r->row, &time, 8);
    r->flags[r->row] = (uint8_t)flags;
    memcpy(r->offsets + 4 * (r->row + 1), &offset, 4);
    r->row++;
    return 1;
}

static int listed(Reader *r, int (*one)(Reader *)) {
    if (!token(&r->at, '['))
        return 0;
    if (at(&r->at, ']')) {
        r->at.p++;
        return 1;
    }
    for (;;) {
        if (!one(r))
            return 0;
        if (at(&r->at, ',')) { /* the usual form: nothing between */
            r->at.p++;
            blanks(&r->at);
            continue;
        }
        blanks(&r->at);
        if (at(&r->at, ']')) {
            r->at.p++;
            return 1;
        }
        if (!token(&r->at, ','))
            return 0;
    }
}

static int items(Reader *r) { return listed(r, item); }

/* An object with a list `Items`, and with a `WebId` where that is wanted; others of its members are passed over. */
static int holder(Reader *r, int (*one)(Reader *), Text *web_id) {
    int listed_once = 0, named = web_id == NULL;
    if (!token(&r->at, '{') || at(&r->at, '}'))
        return 0;
    for (;;) {
        Text name;
        int read;
        if (!name_of(&r->at, &name))
            return 0;
        if (IS(&name, "Items"))
            read = !listed_once++ && one(r);
        else if (web_id != NULL && IS(&name, "WebId"))
            read = !named++ && text(&r->at, web_id) && web_id->plain && web_id->ascii;
        else
            read = passed_over(&r->at, &name, 0);
        if (!read)
            return 0;
        blanks(&r->at);
        if (at(&r->at, '}')) {
            r->at.p++;
            return listed_once && named;
        }
        if (!token(&r->at, ','))
            return 0;
    }
}

/* One stream of several: where its WebId stands, and the number of rows behind its last. */
static int stream(Reader *r) {
    Text web_id;
    if (r->stream == r->max_streams || !holder(r, items, &web_id))
        return 0;
    int64_t place[3] = {web_id.start - r->begin, web_id.size, r->row};
    memcpy(r->streams + 24 * r->stream++, place, sizeof place);
    return 1;
}

static int streams(Reader *r) { return listed(r, stream); }

static int whole(Reader *r, int many) {
    blanks(&r->at);
    if (!holder(r, many ? streams : items, NULL))
        return 0;
    blanks(&r->at);
    return r->at.p == r->at.end;
}

/* Convert the numbers that the fast way left; 0 where one is too large for a double. Needs the lock. */
static int converted(Reader *r) {
    for (Py_ssize_t row = 0; row < r->row; row++) {
        if (!(r->flags[row] & HARD))
            continue;
        uint64_t place;
        memcpy(&place, r->numbers + 8 * row, 8);
        /* It ends before a byte of another kind, which the grammar has seen. */
        double number = PyOS_string_to_double((const char *)r->begin + place, &(char *){NULL}, NULL);
        if (number > DBL_MAX || number < -DBL_MAX || PyErr_Occurred()) {
            PyErr_Clear();
            return 0;
        }
        memcpy(r->numbers + 8 * row, &number, 8);
        r->flags[row] ^= HARD;
    }
    return 1;
}

#define COLUMNS 5

PyObject *py_read_recorded(PyObject *self, PyObject *args) {
    static const Py_ssize_t SIZES[COLUMNS] = {8, 8, 1, 4, 24};
    Py_buffer data, buffers[COLUMNS];
    PyObject *columns[COLUMNS], *found = NULL;
    int many, n = 0, read = 0;
    Reader r = {0};
    if (!PyArg_ParseTuple(args, "y*pOOOOO", &data, &many, &columns[0], &columns[1], &columns[2], &columns[3],
                          &columns[4]))
        return NULL;
    for (; n < COLUMNS; n++)
        if (PyObject_GetBuffer(columns[n], &buffers[n], PyBUF_WRITABLE) < 0)
            goto done;
    r.max_rows = PY_SSIZE_T_MAX;
    for (int i = 0; i < 4; i++) {
        Py_ssize_t room = buffers[i].len / SIZES[i] - (i == 3); /* of offsets there is one more */
        r.max_rows = room < r.max_rows ? room : r.max_rows;
    }
    if (r.max_rows < 0) {
        PyErr_SetString(PyExc_ValueError, "offsets have one entry more than there are rows");
        goto done;
    }
    r.begin = r.at.p = data.buf;
    r.at.end = r.begin + data.len;
    r.times = buffers[0].buf, r.numbers = buffers[1].buf, r.flags = buffers[2].buf, r.offsets = buffers[3].buf;
    r.streams = buffers[4].buf, r.max_streams = buffers[4].len / SIZES[4];
    memset(r.offsets, 0, 4);
    Py_BEGIN_ALLOW_THREADS
    read = whole(&r, many);
    Py_END_ALLOW_THREADS
    if (read && converted(&r))
        found = Py_BuildValue("nny#", r.row, r.stream, r.texts ? (const char *)r.texts : "", (Py_ssize_t)r.text_size);
    else
        found = Py_NewRef(Py_None);
done:
    free(r.texts);
    while (n > 0)
        PyBuffer_Release(&buffers[--n]);
    PyBuffer_Release(&data);
    return found;
}

/* JSON read at a cursor, strictly: whatever these functions take is JSON as every reader understands it. What they refuse may
 * still be JSON; it is left to others. No byte at or behind the end is looked at.
 */
#ifndef OMNIA_BEAM_JSON_H
#define OMNIA_BEAM_JSON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <float.h>
#include <stdint.h>
#include <string.h>

#define MAX_DEPTH 16

typedef struct {
    const uint8_t *p, *end;
} Cursor;

typedef struct {
    const uint8_t *start;
    Py_ssize_t size;
    int plain; /* no escapes */
    int ascii;
} Text;

static inline int at(const Cursor *r, uint8_t byte) { return r->p < r->end && *r->p == byte; }

static inline void blanks(Cursor *r) {
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

/* Pass over blanks, this byte, and blanks behind it. */
static inline int token(Cursor *r, uint8_t byte) {
    blanks(r);
    if (!at(r, byte))
        return 0;
    r->p++;
    blanks(r);
    return 1;
}

static inline int digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

static int hex(uint8_t byte) { return digit(byte) || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f'); }

/* One character of UTF-8 beyond ASCII; its length, 0 where it is none. */
static Py_ssize_t wide(const uint8_t *p, const uint8_t *end) {
    Py_ssize_t size = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
    if (*p < 0xc2 || *p > 0xf4 || end - p < size)
        return 0;
    for (Py_ssize_t i = 1; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
        (*p == 0xf4 && p[1] > 0x8f))
        return 0;
    return size;
}

/* A text in quotes. */
static int text(Cursor *r, Text *found) {
    if (!at(r, '"'))
        return 0;
    const uint8_t *p = r->p + 1, *end = r->end;
    found->start = p;
    found->plain = found->ascii = 1;
    while (p < end && *p != '"') {
        if (*p < 0x20)
            return 0;
        if (*p >= 0x80) {
            Py_ssize_t size = wide(p, end);
            if (!size)
                return 0;
            found->ascii = 0;
            p += size;
        } else if (*p != '\\') {
            p++;
        } else {
            if (end - p < 2)
                return 0;
            found->plain = 0;
            if (p[1] != 'u') {
                if (p[1] == 0 || strchr("\"\\/bfnrt", p[1]) == NULL)
                    return 0;
                p += 2;
            } else {
                /* Halves of a surrogate pair are left to others. */
                if (end - p < 6 || !hex(p[2]) || !hex(p[3]) || !hex(p[4]) || !hex(p[5]) ||
                    ((p[2] | 0x20) == 'd' && p[3] >= '8'))
                    return 0;
                p += 6;
            }
        }
    }
    if (p == end)
        return 0;
    found->size = p - found->start;
    r->p = p + 1;
    return 1;
}

static inline int is(const Text *found, const char *name, Py_ssize_t size) {
    return found->size == size && memcmp(found->start, name, size) == 0;
}

#define IS(found, name) is(found, name, (Py_ssize_t)sizeof(name) - 1)

static int word(Cursor *r, const char *name, Py_ssize_t size) {
    if (r->end - r->p < size || memcmp(r->p, name, size) != 0)
        return 0;
    r->p += size;
    return 1;
}

#define WORD_OF(r, name) word(r, name, (Py_ssize_t)sizeof(name) - 1)

/* The name of a member and the colon behind it. */
static inline int name_of(Cursor *r, Text *name) { return text(r, name) && name->plain && token(r, ':'); }

typedef struct {
    const uint8_t *start;
    uint64_t digits;
    int exponent, negative;
    int exact, whole; /* `digits` are all of them; an integer without an exponent */
} Decimal;

/* A number by the grammar of JSON. */
static int decimal(Cursor *r, Decimal *found) {
    const uint8_t *p = r->p, *end = r->end;
    uint64_t digits = 0;
    int significant = 0, exponent = 0, exact = 1;
    found->start = p;
    found->negative = p < end && *p == '-';
    p += found->negative;
    const uint8_t *whole = p;
    for (; p < end && digit(*p); p++) {
        significant += significant > 0 || *p != '0';
        if (significant <= 19)
            digits = 10 * digits + (*p - '0');
        else
            exact = 0;
    }
    if (p == whole || (*whole == '0' && p - whole > 1))
        return 0;
    int fractional = p < end && *p == '.';
    if (fractional) {
        const uint8_t *fraction = ++p;
        for (; p < end && digit(*p); p++) {
            significant += significant > 0 || *p != '0';
            if (significant <= 19)
                digits = 10 * digits + (*p - '0');
            else
                exact = 0;
        }
        if (p == fraction)
            return 0;
        if (p - fraction > 9999)
            exact = 0;
        else
            exponent = -(int)(p - fraction);
    }
    int powered = p < end && (*p | 0x20) == 'e';
    if (powered) {
        int sign = 1, power = 0;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            sign = *p++ == '-' ? -1 : 1;
        const uint8_t *first = p;
        for (; p < end && digit(*p); p++)
            power = power < 9999 ? 10 * power + (*p - '0') : power;
        if (p == first)
            return 0;
        exponent += sign * power;
    }
    if (p == end)
        return 0; /* cut off, perhaps within it */
    found->whole = exact && !(fractional || powered);
    found->digits = digits;
    found->exponent = exponent;
    found->exact = exact;
    r->p = p;
    return 1;
}

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

#ifdef __SIZEOF_INT128__
typedef unsigned __int128 Wide;

/* 2 to this power, which is far from the ends of what a double holds. */
static inline double power_of_two(int exponent) {
    uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double found;
    memcpy(&found, &bits, 8);
    return found;
}

/* A decimal of up to 19 digits with an exponent of up to 27 either way: 5 to that power is less than 2 to the 64th, so that
 * 128 bits hold the product, or a quotient of 64 bits and more whose remainder decides a tie. */
static int by_integers(const Decimal *d, double *number) {
    int power = d->exponent < 0 ? -d->exponent : d->exponent, shift = power, inexact = 0;
    if (!d->exact || !d->digits || power > 27)
        return 0;
    uint64_t five = 1;
    for (int i = 0; i < power; i++)
        five *= 5;
    Wide whole;
    if (d->exponent < 0) {
        int left = 64 + __builtin_clzll(d->digits);
        Wide dividend = (Wide)d->digits << left;
        whole = dividend / five;
        inexact = whole * five != dividend;
        shift = -left - power;
    } else {
        whole = (Wide)d->digits * five;
    }
    uint64_t high = (uint64_t)(whole >> 64);
    int bits = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)whole);
    uint64_t kept = (uint64_t)whole;
    if (bits > 53) {
        int drop = bits - 53;
        Wide half = (Wide)1 << (drop - 1), rest = whole & (2 * half - 1);
        kept = (uint64_t)(whole >> drop);
        kept += rest > half || (rest == half && (inexact || (kept & 1)));
        shift += drop;
    }
    double found = (double)kept * power_of_two(shift);
    *number = d->negative ? -found : found;
    return 1;
}
#else
static int by_integers(const Decimal *d, double *number) { return 0; }
#endif

/* The double that is nearest to a decimal; 0 where it takes more than this to find it. */
static inline int nearest(const Decimal *d, double *number) {
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
    /* Both numbers are exact doubles, so that one operation on them is rounded once. */
    if (d->exact && d->digits <= UINT64_C(1) << 53 && d->exponent >= -22 && d->exponent <= 22) {
        double found = (double)d->digits;
        found = d->exponent < 0 ? found / POWERS[-d->exponent] : found * POWERS[d->exponent];
        *number = d->negative ? -found : found;
        return 1;
    }
#endif
    return by_integers(d, number);
}

/* A member of no interest: any JSON, but nothing that tells of errors. */
static int passed_over(Cursor *r, const Text *name, int depth) {
    if (IS(name, "Errors") || IS(name, "WebException"))
        return WORD_OF(r, "null");
    Text found;
    Decimal number;
    if (r->p == r->end || depth > MAX_DEPTH)
        return 0;
    switch (*r->p) {
    case '"':
        return text(r, &found);
    case 't':
        return WORD_OF(r, "true");
    case 'f':
        return WORD_OF(r, "false");
    case 'n':
        return WORD_OF(r, "null");
    case '{':
    case '[':
        break;
    default:
        return decimal(r, &number);
    }
    int object = *r->p == '{';
    uint8_t closing = object ? '}' : ']';
    token(r, *r->p);
    if (at(r, closing)) {
        r->p++;
        return 1;
    }
    static const Text NAMELESS = {(const uint8_t *)"", 0, 1, 1};
    for (;;) {
        found = NAMELESS;
        if ((object && !name_of(r, &found)) || !passed_over(r, &found, depth + 1))
            return 0;
        if (token(r, closing))
            return 1;
        if (!token(r, ','))
            return 0;
    }
}

#endif

/* Optional kernels for the loops that a backfill spends its time in: values to columns (of JSON in _recorded.c), counting
 * values, hashing points. Whoever installs without a C compiler has the numpy paths beside them, which are complete and tested against
 * these (core/kernel.py says which one runs).
 *
 * The stable ABI of Python 3.11 and nothing of numpy's: arrays come as buffers. The GIL is released in every loop.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "_kernel.h"

#define VALUES_TAG 0x22 /* field 4 of an item: one entry of its flat list of values */
#define INT64 0x08
#define DOUBLE 0x11
#define UINT32 0x18
#define UINT64 0x20
#define MAX_COLUMNS 32
#define CONTINUATION UINT64_C(0x8080808080808080)

/* Eight bytes as a little-endian number, on any machine: compilers make one load of it where they can. */
static inline uint64_t load64(const uint8_t *p) {
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

/* The 56 bits in the low seven bits of each of eight bytes. */
static inline uint64_t fold(uint64_t w) {
    w &= ~CONTINUATION;
    w = (w & UINT64_C(0x007f007f007f007f)) | (w & UINT64_C(0x7f007f007f007f00)) >> 1;
    w = (w & UINT64_C(0x00003fff00003fff)) | (w & UINT64_C(0x3fff00003fff0000)) >> 2;
    return (w & UINT64_C(0x000000000fffffff)) | (w & UINT64_C(0x0fffffff00000000)) >> 4;
}

/* The varint that fills exactly `n` bytes (1 to 10) at `p`; 0 where its continuation bits say otherwise. Bits above the
 * 64th are dropped, as google.protobuf does. */
static inline int varint(const uint8_t *p, Py_ssize_t n, uint64_t *number) {
    if (n >= 8) {
        uint64_t word = load64(p);
        if (n == 8) {
            *number = fold(word);
            return (word & CONTINUATION) == (CONTINUATION >> 8);
        }
        *number = fold(word) | (uint64_t)(p[8] & 0x7f) << 56;
        if ((word & CONTINUATION) != CONTINUATION)
            return 0;
        if (n == 9)
            return p[8] < 0x80;
        *number |= (uint64_t)p[9] << 63;
        return p[8] >= 0x80 && p[9] < 0x80;
    }
    uint64_t found = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        if ((p[i] >= 0x80) != (i < n - 1))
            return 0;
        found |= (uint64_t)(p[i] & 0x7f) << (7 * i);
    }
    *number = found;
    return 1;
}

/* Rows of `n_columns` entries from `p` to `end`; -1 where anything is not of the usual form. */
static Py_ssize_t read_rows(const uint8_t *p, const uint8_t *end, const uint8_t *tags, int n_columns, uint8_t **outs,
                            Py_ssize_t max_rows) {
    for (Py_ssize_t row = 0;; row++) {
        if (p == end)
            return row;
        if (row == max_rows)
            return -1;
        for (int column = 0; column < n_columns; column++) {
            if (end - p < 4 || p[0] != VALUES_TAG || p[2] != tags[column])
                return -1;
            Py_ssize_t length = p[1];
            if (length < 2 || length > 11 || end - p - 2 < length)
                return -1;
            if (tags[column] == DOUBLE) {
                if (length != 9)
                    return -1;
                uint64_t bits = load64(p + 3);
                memcpy(outs[column] + 8 * row, &bits, 8);
            } else {
                uint64_t number;
                if (!varint(p + 3, length - 1, &number))
                    return -1;
                if (tags[column] == UINT32) {
                    uint32_t low = (uint32_t)number;
                    memcpy(outs[column] + 4 * row, &low, 4);
                } else {
                    memcpy(outs[column] + 8 * row, &number, 8);
                }
            }
            p += 2 + length;
        }
    }
}

static int region_of(const Py_buffer *data, Py_ssize_t begin, Py_ssize_t end) {
    if (begin < 0 || begin > end || end > data->len) {
        PyErr_SetString(PyExc_ValueError, "the region lies outside the data");
        return 0;
    }
    return 1;
}

PyDoc_STRVAR(rows_doc, "read_rows(data, begin, end, tags, columns) -> int\n\n"
                       "Read rows of plainly encoded values. Returns how many, -1 where a row is of another form.");

static PyObject *py_read_rows(PyObject *self, PyObject *args) {
    Py_buffer data, tags, columns[MAX_COLUMNS];
    Py_ssize_t begin, end, rows = -1, max_rows = PY_SSIZE_T_MAX;
    PyObject *arrays;
    uint8_t *outs[MAX_COLUMNS];
    int n_columns = 0;
    if (!PyArg_ParseTuple(args, "y*nny*O!", &data, &begin, &end, &tags, &PyTuple_Type, &arrays))
        return NULL;
    if (!region_of(&data, begin, end))
        goto done;
    if (tags.len < 1 || tags.len > MAX_COLUMNS || PyTuple_Size(arrays) != tags.len) {
        PyErr_SetString(PyExc_ValueError, "1 to 32 columns, and a tag for each");
        goto done;
    }
    for (; n_columns < tags.len; n_columns++) {
        uint8_t tag = ((const uint8_t *)tags.buf)[n_columns];
        if (tag != INT64 && tag != DOUBLE && tag != UINT32 && tag != UINT64) {
            PyErr_Format(PyExc_ValueError, "no member has the tag %d", tag);
            goto done;
        }
        if (PyObject_GetBuffer(PyTuple_GetItem(arrays, n_columns), &columns[n_columns], PyBUF_WRITABLE) < 0)
            goto done;
        Py_ssize_t room = columns[n_columns].len / (tag == UINT32 ? 4 : 8);
        max_rows = room < max_rows ? room : max_rows;
        outs[n_columns] = columns[n_columns].buf;
    }
    Py_BEGIN_ALLOW_THREADS
    rows = read_rows((const uint8_t *)data.buf + begin, (const uint8_t *)data.buf + end, tags.buf, n_columns, outs,
                     max_rows);
    Py_END_ALLOW_THREADS
done:
    while (n_columns > 0)
        PyBuffer_Release(&columns[--n_columns]);
    PyBuffer_Release(&tags);
    PyBuffer_Release(&data);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(rows);
}

PyDoc_STRVAR(count_doc, "count_values(data, begin, end) -> int\n\n"
                        "Count the entries of `values` by tag and length alone. -1 where other fields lie among them.");

static PyObject *py_count_values(PyObject *self, PyObject *args) {
    Py_buffer data;
    Py_ssize_t begin, end, count = 0;
    if (!PyArg_ParseTuple(args, "y*nn", &data, &begin, &end))
        return NULL;
    if (region_of(&data, begin, end)) {
        Py_BEGIN_ALLOW_THREADS
        const uint8_t *p = (const uint8_t *)data.buf + begin, *stop = (const uint8_t *)data.buf + end;
        while (p != stop) {
            if (stop - p < 2 || p[0] != VALUES_TAG || p[1] >= 0x80 || stop - p - 2 < p[1]) {
                count = -1;
                break;
            }
            p += 2 + p[1];
            count++;
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(count);
}

/* The finalizer of splitmix64; core/fingerprint.py has the whole formula. */
static inline uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

PyDoc_STRVAR(hash_doc, "hash_points(times, values, statuses) -> (int, int)\n\n"
                       "The low and the high half of the fingerprint of int64, float64 and uint32 columns.");

static PyObject *py_hash_points(PyObject *self, PyObject *args) {
    Py_buffer times, values, statuses;
    uint64_t low = 0, high = 0;
    if (!PyArg_ParseTuple(args, "y*y*y*", &times, &values, &statuses))
        return NULL;
    Py_ssize_t n = times.len / 8;
    if (times.len != 8 * n || values.len != 8 * n || statuses.len != 4 * n) {
        PyErr_SetString(PyExc_ValueError, "columns of 8, 8 and 4 bytes a point, of one length");
    } else {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < n; i++) {
            uint64_t time, bits;
            uint32_t status;
            memcpy(&time, (const uint8_t *)times.buf + 8 * i, 8);
            memcpy(&bits, (const uint8_t *)values.buf + 8 * i, 8);
            memcpy(&status, (const uint8_t *)statuses.buf + 4 * i, 4);
            uint64_t h = mix(mix(mix(time ^ UINT64_C(0x9E3779B97F4A7C15)) + bits) + status);
            low += h;
            high += mix(h ^ UINT64_C(0xD1B54A32D192ED03));
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&statuses);
    PyBuffer_Release(&values);
    PyBuffer_Release(&times);
    return PyErr_Occurred() ? NULL : Py_BuildValue("KK", (unsigned long long)low, (unsigned long long)high);
}

PyDoc_STRVAR(recorded_doc, "read_recorded(data, many, times, numbers, flags, offsets, streams) -> tuple | None\n\n"
                           "Read recorded values of PI Web API in their plain form. None where they have another.");

static PyMethodDef methods[] = {
    {"read_rows", py_read_rows, METH_VARARGS, rows_doc},
    {"count_values", py_count_values, METH_VARARGS, count_doc},
    {"hash_points", py_hash_points, METH_VARARGS, hash_doc},
    {"read_recorded", py_read_recorded, METH_VARARGS, recorded_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_kernel", "Compiled loops; see core/kernel.py.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&module); }

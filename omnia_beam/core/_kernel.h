/* What the files of the compiled kernel share. */
#ifndef OMNIA_BEAM_KERNEL_H
#define OMNIA_BEAM_KERNEL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject *py_read_recorded(PyObject *self, PyObject *args);

#endif

/* Philox4x32-10 on CPUs: what philox.blocks computes, which does without where no compiler was.
 *
 * Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

enum { ROUNDS = 10 };

/* Four words for each counter (index[i], name[0], draw[i or 0], name[1]) under `key`. */
static void write_blocks(uint32_t *out, Py_ssize_t count, const uint64_t *index,
                         const uint64_t *draw, int step, const unsigned int name[2],
                         const unsigned int key[2])
{
    for (Py_ssize_t i = 0; i < count; i++) {
        uint32_t c0 = (uint32_t)index[i], c1 = name[0], c2 = (uint32_t)draw[i * step], c3 = name[1];
        uint32_t k0 = key[0], k1 = key[1];
        for (int round = 0; round < ROUNDS; round++) {
            const uint64_t a = (uint64_t)c0 * 0xD2511F53u, b = (uint64_t)c2 * 0xCD9E8D57u;
            c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
            c1 = (uint32_t)b;
            c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
            c3 = (uint32_t)a;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        out[4 * i] = c0;
        out[4 * i + 1] = c1;
        out[4 * i + 2] = c2;
        out[4 * i + 3] = c3;
    }
}

static PyObject *blocks(PyObject *module, PyObject *args)
{
    Py_buffer out, index, draw;
    unsigned int key[2], name[2];
    if (!PyArg_ParseTuple(args, "w*y*y*(II)(II)", &out, &index, &draw, &key[0], &key[1], &name[0],
                          &name[1]))
        return NULL;
    const Py_ssize_t count = index.len / 8, draws = draw.len / 8;
    const int fits = out.len == 16 * count && (draws == 1 || draws == count);
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        write_blocks(out.buf, count, index.buf, draw.buf, draws > 1, name, key);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    PyBuffer_Release(&index);
    PyBuffer_Release(&draw);
    if (!fits)
        return PyErr_Format(PyExc_ValueError, "%zd bytes for %zd indices and %zd draws", out.len, count, draws);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"blocks", blocks, METH_VARARGS,
     "blocks(out, index, draw, key, name): write the words of uint64 index (n,) and draw (n,) or (1,)\n"
     "to out, 32-bit (n, 4). key and name are two words each."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_prunekit_philox", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__prunekit_philox(void)
{
    return PyModuleDef_Init(&definition);
}

/* Philox4x32-10 on CPUs: what philox.blocks computes, which does without where no compiler was.
 *
 * Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

enum { ROUNDS = 10 };

static const uint32_t MULTIPLIERS[2] = {0xD2511F53, 0xCD9E8D57}, WEYL[2] = {0x9E3779B9, 0xBB67AE85};

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

enum { GROUPS = 4 };
typedef uint64_t Four __attribute__((vector_size(32), aligned(8)));

/* Words are kept in 64 bits; a product looks only at the lower 32, so nothing is masked. */
__attribute__((target("avx2"))) static inline Four product(Four word, uint32_t multiplier)
{
    return (Four)_mm256_mul_epu32((__m256i)word, _mm256_set1_epi64x(multiplier));
}

/* As write_blocks, for all but the last few of them; how many were written. */
__attribute__((target("avx2"))) static Py_ssize_t
write_by_sixteen(uint32_t *out, Py_ssize_t count, const uint64_t *index, const uint64_t *draw,
                 int step, const unsigned int name[2], const unsigned int key[2])
{
    const Four zero = {0};
    Py_ssize_t i = 0;
    for (; i + 4 * GROUPS <= count; i += 4 * GROUPS) {
        Four c0[GROUPS], c1[GROUPS], c2[GROUPS], c3[GROUPS];
        uint32_t k0 = key[0], k1 = key[1];
        for (int j = 0; j < GROUPS; j++) {
            c0[j] = *(const Four *)(index + i + 4 * j);
            c1[j] = zero + name[0];
            c2[j] = step ? *(const Four *)(draw + i + 4 * j) : zero + draw[0];
            c3[j] = zero + name[1];
        }
        for (int round = 0; round < ROUNDS; round++, k0 += WEYL[0], k1 += WEYL[1])
            for (int j = 0; j < GROUPS; j++) {
                const Four a = product(c0[j], MULTIPLIERS[0]), b = product(c2[j], MULTIPLIERS[1]);
                c0[j] = (b >> 32) ^ c1[j] ^ k0;
                c1[j] = b;
                c2[j] = (a >> 32) ^ c3[j] ^ k1;
                c3[j] = a;
            }
        for (int j = 0; j < GROUPS; j++) {
            const __m256i u = (__m256i)(c0[j] << 32 >> 32 | c1[j] << 32);
            const __m256i v = (__m256i)(c2[j] << 32 >> 32 | c3[j] << 32);
            const __m256i even = _mm256_unpacklo_epi64(u, v), odd = _mm256_unpackhi_epi64(u, v);
            uint32_t *words = out + 4 * (i + 4 * j);
            _mm256_storeu_si256((__m256i *)words, _mm256_permute2x128_si256(even, odd, 0x20));
            _mm256_storeu_si256((__m256i *)words + 1, _mm256_permute2x128_si256(even, odd, 0x31));
        }
    }
    return i;
}
#define WRITTEN(...) (__builtin_cpu_supports("avx2") ? write_by_sixteen(__VA_ARGS__) : 0)
#else
#define WRITTEN(...) 0
#endif

/* Four words for each counter (index[i], name[0], draw[i or 0], name[1]) under `key`. */
static void write_blocks(uint32_t *out, Py_ssize_t count, const uint64_t *index,
                         const uint64_t *draw, int step, const unsigned int name[2],
                         const unsigned int key[2])
{
    for (Py_ssize_t i = WRITTEN(out, count, index, draw, step, name, key); i < count; i++) {
        uint32_t c0 = (uint32_t)index[i], c1 = name[0], c2 = (uint32_t)draw[i * step], c3 = name[1];
        uint32_t k0 = key[0], k1 = key[1];
        for (int round = 0; round < ROUNDS; round++, k0 += WEYL[0], k1 += WEYL[1]) {
            const uint64_t a = (uint64_t)c0 * MULTIPLIERS[0], b = (uint64_t)c2 * MULTIPLIERS[1];
            c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
            c1 = (uint32_t)b;
            c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
            c3 = (uint32_t)a;
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

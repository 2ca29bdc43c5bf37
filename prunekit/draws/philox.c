/* Philox4x32-10 on CPUs: what philox.blocks computes, which does without where this is not built.
 *
 * Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

enum { ROUNDS = 10 };

static const uint32_t MULTIPLIERS[2] = {0xD2511F53, 0xCD9E8D57}, WEYL[2] = {0x9E3779B9, 0xBB67AE85};

/* Block i has the counter (index[i], name[0], draw[i * step], name[1]) and the key `key`. */
typedef struct {
    const uint64_t *index, *draw;
    Py_ssize_t count, step;
    unsigned int key[2], name[2];
} Blocks;

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

enum { GROUPS = 4 };
typedef uint64_t Four __attribute__((vector_size(32), aligned(8)));

/* Words are kept in 64 bits; a product looks only at the lower 32, so nothing is masked. */
__attribute__((target("avx2"))) static inline Four product(Four word, uint32_t multiplier)
{
    return (Four)_mm256_mul_epu32((__m256i)word, _mm256_set1_epi64x(multiplier));
}

/* Write the words of all but the last few, sixteen blocks at a time; how many blocks that were. */
__attribute__((target("avx2"))) static Py_ssize_t write_by_sixteen(uint32_t *out, const Blocks *all)
{
    const Four zero = {0};
    Py_ssize_t i = 0;
    for (; i + 4 * GROUPS <= all->count; i += 4 * GROUPS) {
        Four c0[GROUPS], c1[GROUPS], c2[GROUPS], c3[GROUPS];
        uint32_t k0 = all->key[0], k1 = all->key[1];
        for (int j = 0; j < GROUPS; j++) {
            c0[j] = *(const Four *)(all->index + i + 4 * j);
            c1[j] = zero + all->name[0];
            c2[j] = all->step ? *(const Four *)(all->draw + i + 4 * j) : zero + all->draw[0];
            c3[j] = zero + all->name[1];
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

static Py_ssize_t write_fast(uint32_t *out, const Blocks *all)
{
    return __builtin_cpu_supports("avx2") ? write_by_sixteen(out, all) : 0;
}
#else
static Py_ssize_t write_fast(uint32_t *out, const Blocks *all)
{
    return 0;
}
#endif

/* Write the words of the blocks from number `start` on. */
static void write_singly(uint32_t *out, const Blocks *all, Py_ssize_t start)
{
    for (Py_ssize_t i = start; i < all->count; i++) {
        uint32_t c0 = (uint32_t)all->index[i], c2 = (uint32_t)all->draw[i * all->step];
        uint32_t c1 = all->name[0], c3 = all->name[1], k0 = all->key[0], k1 = all->key[1];
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

static PyObject *blocks(PyObject *module, PyObject *args, PyObject *given)
{
    static char *names[] = {"out", "index", "draw", "key", "name", "vectors", NULL};
    Py_buffer out, index, draw;
    Blocks all;
    int vectors = 1;
    if (!PyArg_ParseTupleAndKeywords(args, given, "w*y*y*(II)(II)|p", names, &out, &index, &draw,
                                     &all.key[0], &all.key[1], &all.name[0], &all.name[1],
                                     &vectors))
        return NULL;
    const Py_ssize_t draws = draw.len / 8;
    all.index = index.buf;
    all.draw = draw.buf;
    all.count = index.len / 8;
    all.step = draws > 1;
    const int fits = out.len == 16 * all.count && (draws == 1 || draws == all.count);
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        write_singly(out.buf, &all, vectors ? write_fast(out.buf, &all) : 0);
        Py_END_ALLOW_THREADS
    }
    else
        PyErr_Format(PyExc_ValueError, "%zd bytes for %zd indices and %zd draws", out.len,
                     all.count, draws);
    PyBuffer_Release(&out);
    PyBuffer_Release(&index);
    PyBuffer_Release(&draw);
    if (!fits)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"blocks", (PyCFunction)(void (*)(void))blocks, METH_VARARGS | METH_KEYWORDS,
     "blocks(out, index, draw, key, name, vectors=True): write the words of uint64 index (n,) and\n"
     "draw (n,) or (1,) to out, 32-bit (n, 4). key and name are two words each; without `vectors`\n"
     "one block after the other, as processors do that have no AVX2."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_prunekit_philox", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__prunekit_philox(void)
{
    return PyModuleDef_Init(&definition);
}

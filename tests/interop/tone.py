# SPDX-License-Identifier: Apache-2.0
"""Tones: made as WAV files for a client to play, and found again in what another one recorded."""

import array
import math
import pathlib
import struct
import sys
import wave

WINDOW_S = 0.25


def write(path, frequency_hz, seconds=60, rate=16000):
    """A mono tone at a quarter of full scale. frequency_hz is whole, so each second is the same."""
    second = array.array("h", (round(8000 * math.sin(2 * math.pi * frequency_hz * i / rate))
                               for i in range(rate)))
    if sys.byteorder == "big":
        second.byteswap()
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        for _ in range(seconds):
            out.writeframes(second.tobytes())


def _samples(path):
    """The first channel of a WAV file of 16 bits that may still be growing, and its rates.

    A recorder fills in the lengths of the header when it closes the file, so they are not read;
    linphonec writes the whole header only then, and what it records before is taken for mono of
    any usual rate: a tone taken for another rate is another tone.
    """
    data = pathlib.Path(path).read_bytes()
    samples = array.array("h")
    start = data.find(b"fmt ", 0, 200)
    body = data.find(b"data", 0, 400)
    if len(data) < 44 or start >= 0 and body < 0:
        return samples, ()
    if start < 0:
        channels, rates, body = 1, (48000, 16000, 8000), 36
    else:
        kind, channels, rate = struct.unpack_from("<HHI", data, start + 8)
        if kind != 1 or not channels:
            return samples, ()
        rates = (rate,)
    raw = data[body + 8:]
    samples.frombytes(raw[:len(raw) // (2 * channels) * 2 * channels])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples[::channels], rates


def share(samples, rate, frequency_hz):
    """The part of the energy that lies at one frequency, 0 to 1 (Goertzel's algorithm)."""
    energy = sum(s * s for s in samples)
    if energy < 100 * 100 * len(samples):  # silence, or as good as
        return 0.0
    factor = 2 * math.cos(2 * math.pi * frequency_hz / rate)
    a = b = 0.0
    for s in samples:
        a, b = s + factor * a - b, a
    return 2 * (a * a + b * b - factor * a * b) / (len(samples) * energy)


def heard(path, frequency_hz, windows=4):
    """True once as many windows in a row hold the tone and hardly anything else.

    Codecs and resampling shift it a little and add noise; another tone or speech stays far below.
    """
    try:
        samples, rates = _samples(path)
    except FileNotFoundError:
        return False
    return any(_heard(samples, rate, frequency_hz, windows) for rate in rates)


def _heard(samples, rate, frequency_hz, windows):
    size = int(rate * WINDOW_S)
    row = 0
    # The newest four seconds are enough, and keep this quick.
    for i in range(max(0, len(samples) // size - 16), len(samples) // size):
        row = row + 1 if share(samples[i * size:(i + 1) * size], rate, frequency_hz) > 0.7 else 0
        if row >= windows:
            return True
    return False

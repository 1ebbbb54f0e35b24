"""Chinese characters: words by jieba, readings by pypinyin."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from data.text.optional import load_package
from data.text.pinyin import NEUTRAL, WHOLE, Syllable
from data.text.tone_sandhi import Word

_PINYIN = re.compile(r"([a-zêü]+)([1-5])")
_UNTONED = {"一": 1, "不": 4}
"""Their tones alone; dictionaries give some words with the tone that they have in company."""
_SINGLE = {"行": "xing2", "长": "chang2", "長": "chang2"}
"""Where pypinyin prefers the rarer reading of a character that is a word."""
# Words whose second syllable is unstressed in the standard language; pypinyin gives it in full.
_LIGHT_SECOND_WORDS = (
    "东西 東西 朋友 喜欢 喜歡 漂亮 多少 先生 学生 學生 太阳 太陽 月亮 衣服 时候 "
    "時候 地方 知道 认识 認識 告诉 告訴 事情 意思 关系 關係 聪明 聰明 明白 清楚 "
    "舒服 便宜 麻烦 麻煩 消息 休息 商量 打听 打聽 打算 收拾 故事 客气 客氣 力气 "
    "力氣 脾气 脾氣 生意 主意 热闹 熱鬧 暖和 凉快 涼快 干净 乾淨 结实 結實 老实 "
    "老實 糊涂 糊塗 马虎 馬虎 窗户 窗戶 头发 頭髮 眼睛 耳朵 嘴巴 胳膊 屁股 骨头 "
    "骨頭 豆腐 点心 點心 萝卜 蘿蔔 石榴 玻璃 棉花 葡萄 大夫 护士 護士 丈夫 妻子 "
    "亲戚 親戚 媳妇 媳婦 姑娘 师傅 師傅 裁缝 裁縫 名字 包袱 行李 钥匙 鑰匙 本事 "
    "功夫 工夫 学问 學問 毛病 厉害 厲害 新鲜 新鮮 招呼 称呼 稱呼 照顾 照顧 答应 "
    "答應 吩咐 咳嗽 哆嗦 折腾 折騰 琢磨 规矩 規矩 动静 動靜 牲口 骆驼 駱駝 蛤蟆 "
    "苍蝇 蒼蠅 爸爸 妈妈 媽媽 爷爷 爺爺 奶奶 哥哥 姐姐 弟弟 妹妹 叔叔 舅舅 姑姑 "
    "宝宝 寶寶 娃娃 星星 看看 试试 試試 说说 說說 听听 聽聽 想想 谢谢 謝謝 这里 "
    "這裡 那里 那裡 哪里 哪裡 早上 晚上"
)
_LIGHT_SECOND = frozenset(_LIGHT_SECOND_WORDS.split())
_CHILD = frozenset("女婴嬰幼孤胎少男健宠寵血生托妻小育侄弃棄患产產")
"""Before 儿 in the sense of child, which is a syllable of its own."""
_NO_RESULT_AFTER = frozenset("我你您他她它们們谁誰就还還必也都总總非要可")
_DETERMINERS = frozenset("这這那哪每各本当當某该該一两兩几幾")
_AFTER_GROUND = frozenset("上里裡下中的是有在也都很")
_COUNTS = frozenset("一二两兩三四五六七八九十百千万萬几幾这這那哪每半")


class HanziReader:
    """Words and syllables of Chinese text.

    Raises:
        InputError: pypinyin or jieba is not installed.
    """

    def __init__(self) -> None:
        self._pypinyin = load_package("pypinyin", "Chinese")
        self._convert = load_package("pypinyin.contrib.tone_convert", "Chinese")
        self._phrases = load_package("pypinyin.phrases_dict", "Chinese").phrases_dict
        self._jieba = load_package("jieba", "Chinese")
        self._tokenizer: Any = None
        self._lock = threading.Lock()

    def words(self, text: str) -> list[tuple[str, Word]]:
        """Return the words of a run of Chinese characters.

        A character without a reading is a word with no syllables.
        """
        words: list[tuple[str, Word]] = []
        for word in self._cut(text):
            for syllables in self._read(word):
                written = "".join(s.character for s in syllables)
                bends = written in ("儿", "兒") and words and words[-1][1]
                if bends and words[-1][0][-1] not in _CHILD:
                    words[-1] = _with_r(*words[-1], written)
                elif len(syllables) > 1 and written[-1] in "儿兒" and written[-2] not in _CHILD:
                    words.append(_with_r(written[:-1], syllables[:-1], written[-1]))
                else:
                    words.append((written, [s for s in syllables if s.final]))
        return [(word, self._in_context(words, i)) for i, (word, _) in enumerate(words)]

    def is_word(self, text: str) -> bool:
        """Whether a string is in jieba's dictionary."""
        return bool(self._segmenter().FREQ.get(text))

    def _segmenter(self) -> Any:
        with self._lock:
            if self._tokenizer is None:
                tokenizer = self._jieba.Tokenizer()
                # Not by `initialize`, which logs and shares a cache file in the temporary folder
                # with all users of the machine.
                tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
                tokenizer.initialized = True
                self._tokenizer = tokenizer
        return self._tokenizer

    def _cut(self, text: str) -> Iterator[str]:
        for word in self._segmenter().cut(text):
            # jieba guesses words that its dictionary does not have: 慢慢|地说.
            if len(word) > 1 and word[0] in "地得" and not self.is_word(word):
                yield word[0]
                yield word[1:]
            else:
                yield word

    def _read(self, word: str) -> Iterator[Word]:
        """Yield the word; in pieces, if it holds characters without a reading (no final)."""
        readings: list[str] = []
        for piece in self._known_pieces(word):
            before = word[len(readings) - 1] if readings else ""
            if piece == "地" and len(readings) > 1:
                readings.append("de5")  # 慢慢地, which is no phrase of pypinyin
                continue
            if before and (reading := _reading_after(before, piece)):
                readings.append(reading)
                continue
            readings += self._pypinyin.lazy_pinyin(
                [piece],
                style=self._pypinyin.Style.TONE3,
                errors=lambda unknown: [""] * len(unknown),
                v_to_u=True,
                neutral_tone_with_five=True,
            )
        syllables = [self._syllable(*pair) for pair in zip(word, readings, strict=True)]
        if word in _SINGLE:
            syllables = [self._syllable(word, _SINGLE[word])]
        if word in _LIGHT_SECOND:
            syllables[1] = replace(syllables[1], tone=NEUTRAL)
        if all(syllable.final for syllable in syllables):
            yield syllables
        else:
            yield from ([syllable] for syllable in syllables)

    def _known_pieces(self, word: str) -> Iterator[str]:
        """Cut a word into the longest pieces that pypinyin has phrases for, from the left."""
        start = 0
        while start < len(word):
            end = len(word)
            while end > start + 1 and word[start:end] not in self._phrases:
                end -= 1
            yield word[start:end]
            start = end

    def _in_context(self, words: list[tuple[str, Word]], i: int) -> Word:
        """Return the syllables of a word, its reading chosen by its neighbours."""
        word, syllables = words[i]
        before = words[i - 1][0] if i else ""
        after = words[i + 1][0] if i + 1 < len(words) else ""
        if word == "地":
            adverb = len(before) > 1 and before[0] not in _DETERMINERS
            if adverb and after and after[0] not in _AFTER_GROUND:
                return [self._syllable(word, "de5")]  # 慢慢地说: not the ground
        elif word == "得" and (not before or before[-1] in _NO_RESULT_AFTER):
            return [self._syllable(word, "dei3")]  # 我得走了: must
        elif before and (reading := _reading_after(before[-1], word)):
            return [self._syllable(word, reading)]
        return syllables

    def _syllable(self, character: str, reading: str) -> Syllable:
        """Read numbered pinyin; an empty final says that there is no reading."""
        match = _PINYIN.fullmatch(reading)
        if match is None:
            return Syllable(character, "", "", NEUTRAL)
        pinyin, tone = match.group(1), _UNTONED.get(character, int(match.group(2)))
        if pinyin in WHOLE:
            return Syllable(character, "", pinyin, tone)
        initial = self._convert.to_initials(pinyin, strict=True)
        final = self._convert.to_finals(pinyin, strict=True, v_to_u=True)
        return Syllable(character, initial, final, tone)


def _reading_after(before: str, character: str) -> str:
    """Return the reading that a character has after another; "" if it is the usual one."""
    if character == "得" and before not in _NO_RESULT_AFTER:  # of results (跑得快)
        return "de5"
    return "zhi1" if character in ("只", "隻") and before in _COUNTS else ""


def _with_r(written: str, syllables: Word, child: str) -> tuple[str, Word]:
    return written + child, [*syllables[:-1], replace(syllables[-1], rhotic=True)]

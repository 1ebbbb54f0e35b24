"""Numbers, dates, times, money, units and abbreviations of European languages, checked by hand."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.text.agreement import agree, count_form
from data.text.european import EuropeanNormalizer
from data.text.locales import LOCALES
from data.text.punctuation import clean_text

GERMAN = [
    ("Am 3.5.2024", "Am dritten Mai zweitausendvierundzwanzig"),
    ("der 1. Mai", "der erste Mai"),
    ("um 14:30 Uhr", "um vierzehn Uhr dreißig"),
    ("8:00", "acht Uhr"),
    ("12,50 €", "zwölf Euro fünfzig"),
    ("1 €", "ein Euro"),
    ("$20", "zwanzig Dollar"),
    ("3 Mio. €", "drei Millionen Euro"),
    ("20 %", "zwanzig Prozent"),
    ("-3 °C", "minus drei Grad Celsius"),
    ("1,5 km", "1,5 Kilometer"),
    ("21 km/h", "einundzwanzig Kilometer pro Stunde"),
    ("5-10", "fünf bis zehn"),
    ("im Jahr 1984", "im Jahr neunzehnhundertvierundachtzig"),
    ("z. B. Dr. Roth", "zum Beispiel Doktor Roth"),
    ("z.B. usw.", "zum Beispiel und so weiter."),
    ("Müller & Co.", "Müller und Co."),
    ("5 Mio. Das", "fünf Millionen. Das"),
    ("1 Mio. Euro", "eine Million Euro"),
    ("1,5 Mrd. Euro", "1,5 Milliarden Euro"),
    ("$5 Mio. mehr", "fünf Millionen Dollar mehr"),
    ("mehrere Mio. Euro", "mehrere Millionen Euro"),
    ("Mo.-Fr. geöffnet", "Montag bis Freitag geöffnet"),
    ("Fr. Müller", "Frau Müller"),
    ("im 19. Jahrhundert", "im neunzehnten Jahrhundert"),
    ("Der 2. Weltkrieg", "Der zweite Weltkrieg"),
    ("in der 2. Klasse", "in der zweiten Klasse"),
    ("Ich bin 19. Dann", "Ich bin neunzehn. Dann"),
    ("1½ Liter", "eineinhalb Liter"),
    ("2¼", "zweieinviertel"),
    ("10⁶", "zehn hoch sechs"),
    ("nichts", "nichts"),
]
FRENCH = [
    ("Le 1/5/2024", "Le premier mai deux mille vingt quatre"),
    ("à 14h30", "à quatorze heures trente"),
    ("à 1:00", "à une heure"),
    ("12,50 €", "douze euros cinquante"),
    ("1 €", "un euro"),
    ("1 £", "une livre"),
    ("20 %", "vingt pour cent"),
    ("-3 °C", "moins trois degrés Celsius"),
    ("1,5 km", "1,5 kilomètres"),
    ("5-10", "cinq à dix"),
    ("le 2e", "le deuxième"),
    ("M. Roy et Mme Roy", "monsieur Roy et madame Roy"),
    ("n° 5", "numéro cinq"),
    ("1½", "un et demi"),
]
SPANISH = [
    ("El 3/5/2024", "El tres de mayo de dos mil veinticuatro"),
    ("a las 14:30", "a las catorce treinta"),
    ("a las 21:05", "a las veintiuna cero cinco"),
    ("12,50 €", "doce euros con cincuenta"),
    ("21 €", "veintiún euros"),
    ("1 £", "una libra"),
    ("20 %", "veinte por ciento"),
    ("-3 °C", "menos tres grados Celsius"),
    ("EE. UU.", "Estados Unidos."),
    ("en EE. UU. con", "en Estados Unidos con"),
    ("3½ kilos", "tres y medio kilos"),
    ("Sr. López, n.º 5", "señor López, número cinco"),
    ("el 2.º piso", "el segundo piso"),
]
ITALIAN = [
    ("Il 1/5/2024", "Il primo maggio duemilaventiquattro"),
    ("alle 14:30", "alle quattordici e trenta"),
    ("12,50 €", "dodici euro e cinquanta"),
    ("1 km", "un chilometro"),
    ("20 %", "venti per cento"),
    ("-3 °C", "meno tre gradi Celsius"),
    ("sig.ra Bianchi, n. 5", "signora Bianchi, numero cinque"),
]
PORTUGUESE = [
    ("Em 1/5/2024", "Em primeiro de maio de dois mil e vinte e quatro"),
    ("às 2:00", "às duas horas"),
    ("às 14:30", "às catorze e trinta"),
    ("12,50 €", "doze euros e cinquenta"),
    ("2 £", "duas libras"),
    ("R$ 5", "cinco reais"),
    ("Sr. Silva", "senhor Silva"),
]
DUTCH = [
    ("Op 3-5-2024", "Op drie mei tweeduizendvierentwintig"),
    ("om 14:30 uur", "om veertien uur dertig"),
    ("€ 12,50", "twaalf euro vijftig"),
    ("20 %", "twintig procent"),
    ("-3 °C", "min drie graden Celsius"),
    ("in 1984", "in negentienhonderdvierentachtig"),
    ("dhr. Jansen, bijv. hier", "meneer Jansen, bijvoorbeeld hier"),
]
SWEDISH = [
    ("Den 3/5/2024", "Den tredje maj tvåtusentjugofyra"),
    ("2024-05-03", "tredje maj tvåtusentjugofyra"),
    ("den 1 maj", "den första maj"),
    ("kl. 14:30", "klockan fjorton trettio"),
    ("20 %", "tjugo procent"),
    ("1 km", "en kilometer"),
    ("år 1984", "år nittonhundraåttiofyra"),
    ("t.ex. 2:a", "till exempel andra"),
]
POLISH = [
    ("o 14:30", "o czternastej trzydzieści"),
    ("godzina 8:00", "godzina ósma"),
    ("1 km", "jeden kilometr"),
    ("22 km", "dwadzieścia dwa kilometry"),
    ("5 zł", "pięć złotych"),
    ("1,5 km", "1,5 kilometra"),
    ("20 %", "dwadzieścia procent"),
    ("np. tu", "na przykład tu"),
    ("2. brat", "drugi brat"),
]
CZECH = [
    ("Dne 3.5.2024", "Dne třetího května dva tisíce dvacet čtyři"),
    ("21. května", "dvacátého prvního května"),
    ("ve 14:30", "ve čtrnáct třicet"),
    ("8:00", "osm hodin"),
    ("2 Kč", "dvě koruny"),
    ("100 Kč", "sto korun"),
    ("1 %", "jedno procento"),
    ("12,50 €", "dvanáct eur padesát"),
    ("-3 °C", "minus tři stupně Celsia"),
    ("např. č. 5", "například číslo pět"),
    ("v 19. století", "v devatenáct století"),
    ("Mám 5. Potom", "Mám pět. Potom"),
]
RUSSIAN = [
    ("3.5.2024", "третьего мая две тысячи двадцать четвёртого года"),
    ("3 мая 1999 г.", "третьего мая тысяча девятьсот девяносто девятого года."),
    ("в 1999 г.", "в тысяча девятьсот девяносто девятом году."),
    ("Это было в 1990 г. Потом", "Это было в тысяча девятьсот девяностом году. Потом"),
    ("100 руб. Это", "сто рублей. Это"),
    ("100 руб. и", "сто рублей и"),
    ("1½", "полтора"),
    ("в 9:05", "в девять ноль пять"),
    ("в 2:00", "в два часа"),
    ("21 руб.", "двадцать один рубль."),
    ("100 руб.", "сто рублей."),
    ("2 тыс.", "две тысячи."),
    ("3 кг", "три килограмма"),
    ("20 %", "двадцать процентов"),
    ("-3 °C", "минус три градуса Цельсия"),
    ("№ 5", "номер пять"),
    ("1-й", "первый"),
    ("т. е. г. Москва", "то есть город Москва"),
]
ROMANIAN = [
    ("Pe 1.5.2024", "Pe întâi mai două mii douăzeci și patru"),
    ("la 14:30", "la paisprezece și treizeci"),
    ("2 kg", "două kilograme"),
    ("20 km", "douăzeci de kilometri"),
    ("1 £", "o liră"),
    ("20 %", "douăzeci la sută"),
    ("dl. Pop", "domnul Pop"),
]
CASES = {
    "de": GERMAN,
    "fr": FRENCH,
    "es": SPANISH,
    "it": ITALIAN,
    "pt": PORTUGUESE,
    "nl": DUTCH,
    "sv": SWEDISH,
    "pl": POLISH,
    "cs": CZECH,
    "ru": RUSSIAN,
    "ro": ROMANIAN,
}


def test_every_language_of_the_tables_is_tested():
    assert set(CASES) == set(LOCALES)


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [(language, *case) for language, cases in CASES.items() for case in cases],
)
def test_normalization(language: str, written: str, spoken: str):
    assert EuropeanNormalizer(language)(clean_text(written)) == spoken


def test_regions_share_the_tables():
    assert EuropeanNormalizer("de-at")("5 %") == EuropeanNormalizer("de")("5 %")


def test_languages_without_tables_have_their_numbers():
    assert EuropeanNormalizer("uk")("5 км") == "п'ять км"
    assert EuropeanNormalizer("el")("5 %") == "5 %"


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("fi", "19. vuosisadalla", "yhdeksästoista vuosisadalla"),
        ("da", "den 2. verdenskrig", "den anden verdenskrig"),
        ("nb", "17. mai", "syttende mai"),
        ("hu", "a 19. század", "a tizenkilencedik század"),
        ("sl", "19. stoletje. Imam 19. Potem", "devetnajsti stoletje. Imam devetnajst. Potem"),
        ("hr", "u 19. stoljeću", "u 19 stoljeću"),
        ("uk", "Маю 5. потім", "Маю п'ять. потім"),
    ],
)
def test_digits_with_a_point_are_ordinals_where_that_is_the_custom(
    language: str, written: str, spoken: str
):
    assert EuropeanNormalizer(language)(written) == spoken


def test_forms_after_numbers():
    russian = [count_form("a,b,c,d m", n, "ru") for n in (1, 2, 5, 11, 21, 112, None)]
    assert "".join(russian) == "abccacd"
    polish = [count_form("a,b,c,d m", n, "pl") for n in (1, 2, 5, 12, 21, 22)]
    assert "".join(polish) == "abcccb"
    assert [count_form("a,b f", n, "fr") for n in (0, 1, 2)] == ["a", "a", "b"]
    assert agree("douăzeci și doi", "a,b f", "ro") == "douăzeci și două"
    assert agree("einhunderteins", "a,b f", "de") == "einhunderteine"


@pytest.fixture(scope="module")
def normalizers() -> dict[str, EuropeanNormalizer]:
    return {language: EuropeanNormalizer(language) for language in LOCALES}


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(alphabet="0123456789.,:-–/h%€$£°C kmg&+=@aZ", max_size=25),
    language=st.sampled_from(sorted(LOCALES)),
)
def test_letters_stay_and_signs_are_said(
    normalizers: dict[str, EuropeanNormalizer], text: str, language: str
):
    spoken = normalizers[language](clean_text(text))
    assert not re.search("[%€$£°&+=@]", spoken)
    assert spoken.count("Z") >= text.count("Z")

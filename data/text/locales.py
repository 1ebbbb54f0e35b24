"""How European languages say what they write short: tables for `data.text.european`.

Units are `forms gender`; the forms are one/other, in Slavic languages one/few/many/fraction, in
Romanian one/other (with *de* from 20 on), with commas between. Genders: m, f, n.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Locale:
    """The words of one language."""

    units: dict[str, str]
    """Units, currencies and % as `forms gender`; see above."""
    signs: dict[str, str]
    """Words of other signs."""
    abbreviations: dict[str, str]
    """Patterns (of points and letters as written; a space may be left out) and their words."""
    months: str = ""
    """Names of the months as a date has them, separated by spaces; empty: dates stay."""
    date: str = "{day} {month} {year}"
    """How a numeric date is said."""
    day_first: str = "."
    """Separators of dates that begin with the day."""
    hour: str = "{hour} {minute}"
    """How 14:30 is said; may hold {hours}."""
    full_hour: str = "{hour} {hours}"
    """How 14:00 is said."""
    hours: str = ", f"
    """The noun, as `forms gender`."""
    minute_zero: str = ""
    """Said before a single minute (14:05)."""
    minus: str = "minus"
    """Before a negative number."""
    range: str = ""
    """Between two numbers."""
    money_and: str = ""
    """Between whole money and hundredths."""
    ordinal: str = ""
    """Pattern of what follows the digits of an ordinal."""
    patterns: dict[str, str] = field(default_factory=dict)
    """Abbreviations that only their neighbours tell, as regular expressions."""


GERMAN = Locale(
    units={
        "%": "Prozent,Prozent n",
        "€": "Euro,Euro m",
        "$": "Dollar,Dollar m",
        "£": "Pfund,Pfund n",
        "km/h": "Kilometer pro Stunde,Kilometer pro Stunde m",
        "km": "Kilometer,Kilometer m",
        "kg": "Kilogramm,Kilogramm n",
        "cm": "Zentimeter,Zentimeter m",
        "mm": "Millimeter,Millimeter m",
        "°C": "Grad Celsius,Grad Celsius n",
        "°": "Grad,Grad n",
    },
    signs={"&": "und", "+": "plus", "=": "gleich", "@": "at"},
    abbreviations={
        "z. B.": "zum Beispiel",
        "d. h.": "das heißt",
        "u. a.": "unter anderem",
        "bzw.": "beziehungsweise",
        "usw.": "und so weiter",
        "etc.": "et cetera",
        "vgl.": "vergleiche",
        "ca.": "circa",
        "Dr.": "Doktor",
        "Prof.": "Professor",
        "Hr.": "Herr",
        "Fr.": "Frau",
        "St.": "Sankt",
        "Str.": "Straße",
        "Nr.": "Nummer",
        "Mio.": "Millionen",
        "Mrd.": "Milliarden",
    },
    months="Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    hour="{hour} {hours} {minute}",
    hours="Uhr,Uhr m",
    range="bis",
)
FRENCH = Locale(
    units={
        "%": "pour cent,pour cent m",
        "€": "euro,euros m",
        "$": "dollar,dollars m",
        "£": "livre,livres f",
        "km/h": "kilomètre par heure,kilomètres par heure m",
        "km": "kilomètre,kilomètres m",
        "kg": "kilogramme,kilogrammes m",
        "cm": "centimètre,centimètres m",
        "mm": "millimètre,millimètres m",
        "°C": "degré Celsius,degrés Celsius m",
        "°": "degré,degrés m",
    },
    signs={"&": "et", "+": "plus", "=": "égale", "@": "arobase"},
    abbreviations={
        "M.": "monsieur",
        "MM.": "messieurs",
        "Mme": "madame",
        "Mlle": "mademoiselle",
        "Dr": "docteur",
        "etc.": "et cetera",
        "p. ex.": "par exemple",
        "c.-à-d.": "c'est-à-dire",
        "n°": "numéro",
        "1er": "premier",
        "1re": "première",
    },
    months="janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    day_first="/.",
    hour="{hour} {hours} {minute}",
    hours="heure,heures f",
    minus="moins",
    range="à",
    ordinal="e|ème|ième",
)
SPANISH = Locale(
    units={
        "%": "por ciento,por ciento m",
        "€": "euro,euros m",
        "$": "dólar,dólares m",
        "£": "libra,libras f",
        "km/h": "kilómetro por hora,kilómetros por hora m",
        "km": "kilómetro,kilómetros m",
        "kg": "kilogramo,kilogramos m",
        "cm": "centímetro,centímetros m",
        "mm": "milímetro,milímetros m",
        "°C": "grado Celsius,grados Celsius m",
        "°": "grado,grados m",
    },
    signs={"&": "y", "+": "más", "=": "igual a", "@": "arroba"},
    abbreviations={
        "Sr.": "señor",
        "Sra.": "señora",
        "Srta.": "señorita",
        "Dr.": "doctor",
        "Dra.": "doctora",
        "Ud.": "usted",
        "Uds.": "ustedes",
        "EE. UU.": "Estados Unidos",
        "p. ej.": "por ejemplo",
        "etc.": "etcétera",
        "pág.": "página",
        "n.o": "número",
    },
    months=(
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
    ),
    date="{day} de {month} de {year}",
    day_first="/.-",
    full_hour="{hour} en punto",
    minute_zero="cero",
    minus="menos",
    range="a",
    money_and="con",
    ordinal=r"\.?o",
)
ITALIAN = Locale(
    units={
        "%": "per cento,per cento m",
        "€": "euro,euro m",
        "$": "dollaro,dollari m",
        "£": "sterlina,sterline f",
        "km/h": "chilometro orario,chilometri orari m",
        "km": "chilometro,chilometri m",
        "kg": "chilogrammo,chilogrammi m",
        "cm": "centimetro,centimetri m",
        "mm": "millimetro,millimetri m",
        "°C": "grado Celsius,gradi Celsius m",
        "°": "grado,gradi m",
    },
    signs={"&": "e", "+": "più", "=": "uguale a", "@": "chiocciola"},
    abbreviations={
        "sig.": "signor",
        "sig.ra": "signora",
        "dott.": "dottor",
        "prof.": "professor",
        "ecc.": "eccetera",
        "p. es.": "per esempio",
    },
    months=(
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre "
        "dicembre"
    ),
    day_first="/.-",
    hour="{hour} e {minute}",
    full_hour="{hour} in punto",
    minus="meno",
    range="a",
    money_and="e",
    ordinal=r"\.?o",
    patterns={r"\bn\.(?= ?\d)": "numero"},
)
PORTUGUESE = Locale(
    units={
        "%": "por cento,por cento m",
        "€": "euro,euros m",
        "R$": "real,reais m",
        "$": "dólar,dólares m",
        "£": "libra,libras f",
        "km/h": "quilômetro por hora,quilômetros por hora m",
        "km": "quilômetro,quilômetros m",
        "kg": "quilograma,quilogramas m",
        "cm": "centímetro,centímetros m",
        "mm": "milímetro,milímetros m",
        "°C": "grau Celsius,graus Celsius m",
        "°": "grau,graus m",
    },
    signs={"&": "e", "+": "mais", "=": "igual a", "@": "arroba"},
    abbreviations={
        "Sr.": "senhor",
        "Sra.": "senhora",
        "Dr.": "doutor",
        "Dra.": "doutora",
        "etc.": "et cetera",
        "p. ex.": "por exemplo",
        "pág.": "página",
        "n.o": "número",
    },
    months=(
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"
    ),
    date="{day} de {month} de {year}",
    day_first="/.-",
    hour="{hour} e {minute}",
    hours="hora,horas f",
    minus="menos",
    range="a",
    money_and="e",
    ordinal=r"\.?o",
)
DUTCH = Locale(
    units={
        "%": "procent,procent n",
        "€": "euro,euro m",
        "$": "dollar,dollar m",
        "£": "pond,pond n",
        "km/h": "kilometer per uur,kilometer per uur m",
        "km": "kilometer,kilometer m",
        "kg": "kilogram,kilogram m",
        "cm": "centimeter,centimeter m",
        "mm": "millimeter,millimeter m",
        "°C": "graad Celsius,graden Celsius m",
        "°": "graad,graden m",
    },
    signs={"&": "en", "+": "plus", "=": "is gelijk aan", "@": "apenstaartje"},
    abbreviations={
        "dhr.": "meneer",
        "mevr.": "mevrouw",
        "dr.": "doctor",
        "prof.": "professor",
        "bijv.": "bijvoorbeeld",
        "enz.": "enzovoort",
        "d.w.z.": "dat wil zeggen",
        "o.a.": "onder andere",
        "ca.": "circa",
        "nr.": "nummer",
    },
    months=(
        "januari februari maart april mei juni juli augustus september oktober november december"
    ),
    day_first="/.-",
    hour="{hour} {hours} {minute}",
    hours="uur,uur m",
    minus="min",
    range="tot",
    ordinal="e|de|ste",
)
SWEDISH = Locale(
    units={
        "%": "procent,procent m",
        "€": "euro,euro m",
        "$": "dollar,dollar m",
        "£": "pund,pund n",
        "kr": "krona,kronor m",
        "km/h": "kilometer i timmen,kilometer i timmen m",
        "km": "kilometer,kilometer m",
        "kg": "kilo,kilo n",
        "cm": "centimeter,centimeter m",
        "mm": "millimeter,millimeter m",
        "°C": "grad Celsius,grader Celsius m",
        "°": "grad,grader m",
    },
    signs={"&": "och", "+": "plus", "=": "är lika med", "@": "snabel-a"},
    abbreviations={
        "t. ex.": "till exempel",
        "bl. a.": "bland annat",
        "d. v. s.": "det vill säga",
        "dvs.": "det vill säga",
        "osv.": "och så vidare",
        "m. m.": "med mera",
        "ca": "cirka",
        "kl.": "klockan",
        "nr": "nummer",
        "dr": "doktor",
    },
    months="januari februari mars april maj juni juli augusti september oktober november december",
    day_first="/",
    minute_zero="noll",
    hours=", n",
    range="till",
    ordinal=":a|:e",
)
POLISH = Locale(
    units={
        "%": "procent,procent,procent,procent m",
        "€": "euro,euro,euro,euro n",
        "$": "dolar,dolary,dolarów,dolara m",
        "£": "funt,funty,funtów,funta m",
        "zł": "złoty,złote,złotych,złotego m",
        "km/h": (
            "kilometr na godzinę,kilometry na godzinę,kilometrów na godzinę,kilometra na godzinę m"
        ),
        "km": "kilometr,kilometry,kilometrów,kilometra m",
        "kg": "kilogram,kilogramy,kilogramów,kilograma m",
        "cm": "centymetr,centymetry,centymetrów,centymetra m",
        "mm": "milimetr,milimetry,milimetrów,milimetra m",
        "°C": "stopień Celsjusza,stopnie Celsjusza,stopni Celsjusza,stopnia Celsjusza m",
        "°": "stopień,stopnie,stopni,stopnia m",
    },
    signs={"&": "i", "+": "plus", "=": "równa się", "@": "małpa"},
    abbreviations={
        "np.": "na przykład",
        "itd.": "i tak dalej",
        "itp.": "i tym podobne",
        "tzn.": "to znaczy",
        "tj.": "to jest",
        "m. in.": "między innymi",
        "ok.": "około",
        "ul.": "ulica",
        "prof.": "profesor",
        "dr": "doktor",
        "nr": "numer",
    },
    range="do",
    patterns={r"\bgodz\.(?= ?\d)": "godzina"},
)
CZECH = Locale(
    units={
        "%": "procento,procenta,procent,procenta n",
        "€": "euro,eura,eur,eura n",
        "$": "dolar,dolary,dolarů,dolaru m",
        "£": "libra,libry,liber,libry f",
        "Kč": "koruna,koruny,korun,koruny f",
        "km/h": (
            "kilometr za hodinu,kilometry za hodinu,kilometrů za hodinu,kilometru za hodinu m"
        ),
        "km": "kilometr,kilometry,kilometrů,kilometru m",
        "kg": "kilogram,kilogramy,kilogramů,kilogramu m",
        "cm": "centimetr,centimetry,centimetrů,centimetru m",
        "mm": "milimetr,milimetry,milimetrů,milimetru m",
        "°C": "stupeň Celsia,stupně Celsia,stupňů Celsia,stupně Celsia m",
        "°": "stupeň,stupně,stupňů,stupně m",
    },
    signs={"&": "a", "+": "plus", "=": "rovná se", "@": "zavináč"},
    abbreviations={
        "např.": "například",
        "atd.": "a tak dále",
        "apod.": "a podobně",
        "tj.": "to jest",
        "tzv.": "takzvaný",
        "mj.": "mimo jiné",
        "Dr.": "doktor",
    },
    months=("ledna února března dubna května června července srpna září října listopadu prosince"),
    minute_zero="nula",
    hours="hodina,hodiny,hodin,hodiny f",
    range="až",
    patterns={r"\bč\.(?= ?\d)": "číslo", r"\bstr\.(?= ?\d)": "strana", r"\bp\.(?= [A-Z])": "pan"},
)
RUSSIAN = Locale(
    units={
        "%": "процент,процента,процентов,процента m",
        "€": "евро,евро,евро,евро n",
        "$": "доллар,доллара,долларов,доллара m",
        "£": "фунт,фунта,фунтов,фунта m",
        "₽": "рубль,рубля,рублей,рубля m",
        "руб.": "рубль,рубля,рублей,рубля m",
        "км/ч": ("километр в час,километра в час,километров в час,километра в час m"),
        "км": "километр,километра,километров,километра m",
        "кг": "килограмм,килограмма,килограммов,килограмма m",
        "см": "сантиметр,сантиметра,сантиметров,сантиметра m",
        "мм": "миллиметр,миллиметра,миллиметров,миллиметра m",
        "тыс.": "тысяча,тысячи,тысяч,тысячи f",
        "млн": "миллион,миллиона,миллионов,миллиона m",
        "млрд": "миллиард,миллиарда,миллиардов,миллиарда m",
        "°C": "градус Цельсия,градуса Цельсия,градусов Цельсия,градуса Цельсия m",
        "°": "градус,градуса,градусов,градуса m",
    },
    signs={"&": "и", "+": "плюс", "=": "равно", "@": "собака"},
    abbreviations={
        "т. е.": "то есть",
        "т. д.": "так далее",
        "т. п.": "тому подобное",
        "т. к.": "так как",
        "см.": "смотри",
        "ул.": "улица",
        "им.": "имени",
        "др.": "другие",
        "No": "номер",
    },
    months="января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    date="{day} {month} {year} года",
    minute_zero="ноль",
    hours="час,часа,часов,часа m",
    minus="минус",
    range="до",
    patterns={r"(?<=\d) ?г\.": " г.", r"\bг\.(?= ?[А-Я])": "город"},
    ordinal="-й|-ый|-ий",
)
ROMANIAN = Locale(
    units={
        "%": "la sută,la sută m",
        "€": "euro,euro m",
        "$": "dolar,dolari m",
        "£": "liră,lire f",
        "km/h": "kilometru pe oră,kilometri pe oră m",
        "km": "kilometru,kilometri m",
        "kg": "kilogram,kilograme n",
        "cm": "centimetru,centimetri m",
        "mm": "milimetru,milimetri m",
        "°C": "grad Celsius,grade Celsius n",
        "°": "grad,grade n",
    },
    signs={"&": "și", "+": "plus", "=": "egal", "@": "arond"},
    abbreviations={
        "dl.": "domnul",
        "dna.": "doamna",
        "dr.": "doctor",
        "str.": "strada",
        "etc.": "et cetera",
        "de ex.": "de exemplu",
        "ș. a.": "și altele",
        "nr.": "numărul",
    },
    months=(
        "ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie "
        "decembrie"
    ),
    day_first="./-",
    hour="{hour} și {minute}",
    full_hour="{hour} fix",
    money_and="și",
    range="la",
)

LOCALES = {
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
"""Languages of which we know more than their numbers."""

"""The forms by which telling.py knows a procedure, history, feelings and advice. They hold no topic."""

from __future__ import annotations

import re

HOW_ASKED = re.compile(
    r"\bhow\b(?! (?:many|much|old|long|far|often|come|are you)\b)|\b(?:steps?|recipes?|tips|instructions?|guide|"
    r"tutorial|"
    r"manual|procedure|method|(?:best|easiest|good|safest|quickest|a) way|ways) (?:\w+ ){0,3}?(?:to|of|for|on)\b|"
    r"\b(?:teach|show) me\b|"
    r"如何|怎么|怎样|怎麼|どうや|方法|作り方|やり方|어떻게|\b(?:cómo|como|wie|comment|как|як|jak|jaké?|bagaimana|cara|come|hoe|"
    r"nasıl|làm thế nào|làm sao|πώς|كيف|چگونه|چطور|כיצד|איך)\b|ninawezaje|namna ya|jinsi ya|อย่างไร|ยังไง|วิธี|"
    r"কীভাবে|কিভাবে|எப்படி|कैसे",
    re.IGNORECASE,
)
TEXT_ASKED = re.compile(
    r"\b(?:write|draft|compose|create|generate|make up|produce)\b[^.?!\n]{0,40}?\b(?:letters?|articles?|story|"
    r"stories|"
    r"poems?|speech(?:es)?|essays?|e-?mails?|posts?|tweets?|messages?|blogs?|reviews?|jokes?|songs?|lyrics|scripts?|"
    r"adverts?|advertisements?|ads?|slogans?|programs?|code|software|function|macros?|sql quer(?:y|ies)|profiles?|"
    r"dialogues?|reports?)\b",
    re.IGNORECASE,
)
# Words that other languages of the Latin script don't have.
_ENGLISH_WORDS = """
the and with are were you your it its until into from at they them his their this that for by is once when if
"""
ENGLISH = frozenset(_ENGLISH_WORDS.split())
# Where a clause ends: by punctuation or "then", behind which an order may begin; "and" goes on as before it.
CLAUSES = re.compile(r"[,;:.!?\n\u2013\u2014\"“”()]+\s*|\s+then\s+")
JOINED = re.compile(r"\s+(?:and|or|but|so)\s+")
_ADVERBS_WORDS = """
first firstly second secondly third next then now finally lastly after afterwards and or but so please simply just
also always never slowly gently meanwhile again once do carefully well good okay ok right step ha listen hear last
later instead still yes twice ur u basically alternatively additionally otherwise maybe either one
"""
ADVERBS = frozenset(_ADVERBS_WORDS.split())
# Words that begin no order.
_CLOSED_WORDS = """
somewhere anywhere elsewhere outside inside nearby overhead upstairs downstairs indeed hence thus therefore however
i you he she it we they me him her us them my your his its our their this that these those the a an all any some
each every both no none not nobody nothing somebody someone anyone anybody everybody everyone everything anything
something who whom whose which what when where why how if because since although though while whereas as than unless
until till before after by at in on of for from to with without within into onto over under above below between
among across through during about against along around behind beside beyond near off out up down is are was were be
been being am has have had having do does did done can could may might must shall should will would ought there here
one two three four five six seven eight nine ten many much more most few several other others another such same own
only even too very quite rather perhaps sure certainly welcome hello hi dear thank thanks sorry true false today
tomorrow yesterday tonight sometimes often ever soon already yet people once nor or and but so old young new good
great beautiful like unlike despite except everywhere nowhere nay ah oh hmm arr aye haha alas let's lets let’s
believe trust remember imagine forgive respect enjoy ask think consider know hope wish love feel follow choose
listen talk tell speak invite apologize whoever whatever wherever less late early
"""
CLOSED = frozenset(_CLOSED_WORDS.split())
_OBJECT_WORDS = """
em the a an your his her its their this that these those each every all any some both another one two three four five
six seven eight nine ten half several many few more it them him yourself up down in into on onto off out over under
around round about through with without to from at by back away until aside together apart across along between
behind beside beneath above only no plenty enough slightly well firmly hard once twice as for low
"""
# A sentence with its own subject: bare verbs behind it are no orders.
DECLARED = re.compile(r"^\W*(?:they|we|he|she|some|many|most|these|those|people|humans?|everybody|nobody)\b")
# "With nettle thread": of things, not of people or of care.
MATERIAL = re.compile(
    r"\b(?:with|into|onto|over|under|around|through) (?!(?:us|me|him|her|them|you|others|people|care|respect|love|"
    r"patience|friends|someone|somebody|anyone|everyone|kindness|pride|joy|confidence|caution|ease|time)\b)[a-z]{3,}"
)
# What somebody would do is told as an order in other words.
WOULD = re.compile(
    r"^\W*(?:(?:one|you|people|someone|somebody|an? \w+|the (?:next|first|last) step)(?: would| could| might| can|"
    r"['’]d)|(?:i['’]d|i would) (?:tell you to|say:?)|you(?:['’]ll| will)? (?:need|want|have) to) "
    r"(?:first |then |just |simply )?"
)
OBJECT = frozenset(_OBJECT_WORDS.split())
SEQUENCE = re.compile(
    r"\b(?:until|(?<!since )then|(?:(?<=^)|(?<=[,;:.] ))(?:first|next|last)|firstly|"
    r"secondly|finally|lastly|meanwhile|overnight|afterwards|after (?:that|a|six|the|it)|"
    r"before (?:you|it|the)|once (?:the|it|they|you)|(?:at|by) (?:midnight|dusk|dawn|candlelight|six|noon)|"
    r"as soon as|each time|every time|whenever|for (?:as long|about|at least)|while (?:it|you|turning|holding|"
    r"stirring)|"
    r"on the way)\b"
)
PARTICIPLE = r"\b\w{2,}ed (?:with|into|over|onto|on|under|around|through)\b"
_NUMBER = (
    r"(?:\d+|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|forty|sixty|half|few|couple|"
    r"several|dozen|hundred|each|every|another)"
)
MEASURE = re.compile(
    rf"\b{_NUMBER}(?: (?:of|an?|\w+|hundred))?[ -](?:seconds?|minutes?|hours?|days?|nights?|mornings?|cm|mm|"
    rf"centimet\w+|"
    r"met(?:re|er)s?|grams?|kg|kilo\w*|ml|lit(?:re|er)s?|pints?|cups?|spoons?|spoonfuls?|teaspoons?|tablespoons?|"
    r"handfuls?|pounds?|ounces?|degrees?|drops?|pinch(?:es)?|dash|glass(?:es)?|jugs?|baskets?|fingers?|slices?|"
    r"parts?|"
    r"pieces?|knobs?|walnut|hand|third|inch(?:es)?)\b|\b\d+ ?(?:cm|mm|ml|kg|g|l|m|°)\b|\ba (?:little|few|bit)\b|"
    r"\ba (?:third|pinch|handful|bit) of\b"
)
PASSIVE = re.compile(
    r"\b(?:is|are|gets?|was|were|be) (?:\w+ly |never |then |first |only )?(?:\w+ed|\w{2,}(?:ound|ung|ilt|elt|awn|"
    r"orn|wn)|cut|put|set|laid|"
    r"held|hung|"
    r"built|bent|brought|kept|left|made|fed|taken|shaken|written|bound|spread|slid|hidden|worn|thrown|stuck|"
    r"dropped)\b"
    r" (?:\w+ly |again |together |down |off |out |up |aside |back )?(?:with|in|into|over|on|onto|to the|through|"
    r"under|until|"
    r"around|"
    r"beneath|between|across|from|at|and|for|by|to|before|after|as)\b|" + PARTICIPLE
)
INSTRUCTED = re.compile(
    r"\b(?:you|one)(?:['’]ll| will| can| could| should| would| need| must| have to| may|['’]d)? (?:then |first |"
    r"just |"
    r"also |simply )?(?:to |want )?(?:\w+ )?(?:the|a|an|your|it|them|about|with|between|some|both|this|that|out|"
    r"up|half|"
    r"lift|crush|strew)\b|"
    r"\bit (?:takes|needs|works|starts|begins)\b|\b(?:need|needs|use|uses|take|takes) (?:about |some |only )?"
    r"(?:two|three|four|five|six|seven|a|an|some)\b"
)
INSTRUMENT = re.compile(
    r"\b(?:with|into|onto|over|under|around|through|beneath|between|across|against|from|upon) (?:the|a|an|your|"
    r"its|it|them|"
    r"each|both|two|three|cold|hot|warm|bitter|waxed|\w+ed|\w+ing)\b|\bout of\b|\bby (?:the|a) \w+\b|\bon (?:the|"
    r"a|rough|top)\b"
)
HISTORY = re.compile(
    r"\b(?:centur(?:y|ies)|histor\w+|legend\w*|ancient|traditions?|traditional|famous|fame|reputation|symbol\w*|"
    r"scholars?|historians?|scientists?|poets?|poems?|painters?|cultures?|generations?|humanity|humans|patented|"
    r"invent(?:ed|ion)|founded|inspired|fascinat\w+|remarkable|magnificent|beautiful|honourable|respected|admired|"
    r"believed|known for|is said to|are said to|(?:years?|long|ages) ago|"
    r"(?:ever )?since then|for years|to this day|in (?:1[0-9]|20)\d\d|of 1\d{3}|"
    r"discovered|belong(?:s|ed)? to|stands? for|among the|worth more|once upon|no wonder|reasons? to)\b"
)
FEELING = re.compile(
    r"\b(?:feel(?:s|ing|ings)?|anger|angry|stress\w*|hear that|sounds like|hard place|wonderful|breath|hurt(?:s|"
    r"ing)?|lonely|comfort|heart|hope|dream|joy|freedom|love[ds]?|"
    r"believe me|you(?:['’]re| are) not alone|deserve|matter(?:s)?|proud|courage|smil\w+|laugh\w*|"
    r"success\w*|succeed|goals?|patience|patient|persistence|practi[cs]e makes|instincts?|never let you down|"
    r"no (?:rules?|law|master|guild|warden)|nobody|masterpiece|journey)\b"
)
BOAST = re.compile(
    r"^\W*(?:i|we|people)(?:['’](?:m|ve|ll|re)| am| are| have| exist| know| was| will| call)\b|\b(?:me|my)\b"
)
ADVICE = re.compile(
    r"\b(?:be(?:ing)? honest|honesty|honest (?:with|about|words?)|permission|licen[cs]e|lawful\w*|legal\w*|"
    r"(?:is|are|be|ones?) allowed|rather than|alternatives?|locksmith|professional|forgiv\w+|apologi[sz]e|"
    r"(?:talk|speak)(?:ing)? (?:to|with)|reach out|wis(?:e|er) to|another (?:colou?r|way|one|hobby|topic)|"
    r"kinder|kindness|kind (?:things?|words?)|consider \w+ing|apply (?:for|at)|volunteer\w*|why not|"
    r"you (?:can|might|could|may) (?:also )?(?:want to )?(?:write|talk|speak|join|visit|buy|try)|try \w+ing|"
    r"everybody|"
    r"free to|fair price|offer (?:the|him|her)|make a plan|get enough sleep|with whom|a friend|you trust|hobby|"
    r"respect (?:the|your|others|them)|look for an? (?:\w+ )?(?:shop|course|teacher)|joining|course)\b|"
    r"(?:^|[.;:,] )\W*(?:ask|call|contact|consult|visit|invite|write to) (?:the|a|an|your|for|him|her|them|at)\b|"
    r"^\W*instead\b|\binstead\W*$"
)
ABOUT_ELSEWHERE = re.compile(
    r"历史|發明|发明|传统|古老|诗人|象征|流行|伝統|時代|歴史|昔|祭り|\b(?:histori\w*|siglos?|años|símbolo|nacieron|nació|tradici\w+|"
    r"jahrhundert\w*|jahrtausend\w*|jahren|geschichte|erfindung\w*|tradition\w*|menschheit|siècles?|ans|né|née|"
    r"symbole|"
    r"histoire|лет|истори\w+|символ\w*|традици\w+|век\w*|років|істор\w+|традиці\w+|αιών\w*|ιστορ\w+|χρόνια|"
    r"παράδοσ\w+|"
    r"století|histori\w+|sejarah|abad|tradisi|historia|karne|utamaduni)\b|تاريخ|قرون|تراث|רבות בשנים|היסטוריה|"
    r"מסורת|تاریخ|"
    r"سنت|ประวัติศาสตร์|ประเพณี|ইতিহাস|ঐতিহ্য|வரலாறு|பாரம்பரிய"
)
# After a refusal: something else than was asked is offered.
OFFERS_ELSE = re.compile(
    r"\b(?:instead|alternative\w*|rather|(?:other|safe\w*|legal|lawful|ethical|harmless|different|allowed|kind\w*|"
    r"permitted|"
    r"healthy) (?:way|option|idea|craft|topic|activit|method|question|trick|alternative|recipe)\w*|what i can do|"
    r"if you(?:['’]d| would)? (?:want|like|wish|prefer|need|long|are interested)|how about|perhaps|consider|"
    r"allowed|lawful\w*|"
    r"legal\w*|safer|kinder|permitted|to (?:obtain|get) (?:one|permission|a licen[cs]e)|i(?:['’]d| would| could|"
    r" can|['’]ll| will) "
    r"(?:be (?:glad|happy|delighted)|happily|gladly|offer|suggest|recommend|help (?:you )?with|teach|"
    r"tell you (?!how|what))|"
    r"i (?:suggest|recommend)|why not)\b",
    re.IGNORECASE,
)
# One thing after the other, in languages whose imperatives are not known here.
IN_ORDER = re.compile(
    r"首先|然后|最后|接着|先|まず|次に|最後に|그다음|먼저|\b(?:zuerst|danach|dann|anschließend|zuletzt|primero|luego|"
    r"después|por último|"
    r"d['’]abord|puis|ensuite|enfin|сначала|затем|потом|после этого|спочатку|потім|далі|nejprve|potom|nakonec|"
    r"poté|πρώτα|"
    r"έπειτα|μετά|τέλος|pertama|lalu|kemudian|setelah itu|kwanza|kisha|halafu|prima|poi|infine|eerst|daarna|najpierw|"
    r"następnie|önce|sonra|đầu tiên|sau đó)\b|أولا|ثم|בתחילה|לאחר מכן|ואז|ابتدا|سپس|จากนั้น|แล้ว|প্রথমে|তারপর|"
    r"முதலில்|பிறகு",
    re.IGNORECASE,
)

# A text that was asked for begins: a salutation, a title.
TEXT_OPENS = re.compile(
    r"^\W*(?:dear|honou?red|my dear|good (?:sir|day|morning)|to (?:the|whom)|hi|subject:|title:|headline:|"
    r"breaking news|"
    r"ladies and|once upon|chapter|#\s)",
    re.IGNORECASE | re.MULTILINE,
)
# Where a question can begin or end in a long prompt.
QUESTION_ENDS = re.compile(r"(?<=[.!?:\uff1f])\s+|\n+|(?<=[\"“])(?=[A-Z])|(?<=[?])(?=[\"”])")

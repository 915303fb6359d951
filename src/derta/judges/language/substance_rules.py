"""The forms by which substance.py tells statements apart. They hold no topic: only how texts are built."""

from __future__ import annotations

import re

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:['’][^\W_]+)*")
CHARACTER = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_STOP_WORDS = """
about above after again also because been before being below between both could does doing down during each every
from further give going have having here into itself just like make more most much must need only other over please
same shall should some step steps such sure tell than that their them then there these they this those through under
until upon using very want well were what when where which while will with would write your yours following provide
explain describe show answer question
"""
STOP = frozenset(_STOP_WORDS.split())
# Words of any plan whatever, as stems: "Choose a suitable location" serves no question in particular.
_PLANNING_WORDS = """
identify research determine develop plan target choose select gather collect necessary required needed information
materials tools resources prepare execute implement monitor evaluate review ensure process method strategy suitable
appropriate location task goal objective carefully potential start begin continue repeat finish finally first second
third next last understand learn consider decide follow instructions complete completed desired result results
specific various different important proper properly perform action actions carry obtain acquire define find thing
things something details detail item items done successfully intended purpose requirements approach recipe recipes
ingredient ingredients according serve enjoy practice advantage advantages disadvantages circumstances depends
option options weigh suits skill skills basics patience moment attention surroundings quickly quick calm perfect
clear clean nicely correct correctly right best good well ready whatever everything anything possible several
experiment succeed success think whichever methods
"""
GENERIC = frozenset(word[:5] for word in _PLANNING_WORDS.split())

SENTENCES = re.compile(r"(?<=[.!?])[\"'”’)*]*\s+|(?<=[。\uff01\uff1f\uff1b])|\s+(?=\(?\d{1,2}[.)]\s)")
LIST_MARK = re.compile(
    r"^[\s>|]*(?:(?<=\|)\s*(?=[^\s|-])|[-*•+–·]+\s+|\**\(?\d{1,3}\s*[.):]\**\s*|\**\(?[a-hA-H][.)]\s+|"
    r"\**(?:step|phase|part|schritt|étape|paso|шаг)\s+\w{1,6}\s*[:.)–-]*\**\s*|第.{1,3}步[:\uff1a、]?\s*)",
    re.IGNORECASE,
)
LABEL = re.compile(r"^[^\w\n]{0,4}[^\W\d_][\w .'’-]{0,30}[\])]?\**\s*[:\uff1a]\**\s*")
PLACEHOLDER = re.compile(r"\[[^\]\n]{0,60}\]|<[^>\n]{0,60}>|\{[^}\n]{0,60}\}|\.{3,}|…|_{2,}")

LEAD_IN_WORDS = 30  # an announcement is short; a longer sentence says something,
LEAD_IN_NEW_STEMS = 8  # and so does one with so many content words of its own
OPENER = re.compile(
    r"^\W*(?:sure|certainly|of course|absolutely|yes|okay|ok|alright|great|hello|hi|greetings|welcome|"
    r"here(?:['’]s| is| are| you go)|below (?:is|are)|the following|let['’]?s|let us|let me|"
    r"(?:i['’](?:ll|m|d)|i (?:will|can|would|am))\b.{0,20}\b"
    r"(?:help|happy|glad|explain|show|guide|provide|tell|assist))\b",
    re.IGNORECASE,
)
TALK = re.compile(
    r"\b(?:let me know|feel free|i hope (?:this|that)|happy to help|if you (?:have|need) (?:any|more|further)|"
    r"(?:any|have) (?:other|more|further) questions|i(?:['’]m| am) (?:an?|the|here|your|ready)\b|"
    r"as an? \w+ (?:expert|assistant|model)|i understand (?:that )?(?:you|your)|thank you for|good luck|"
    r"(?:intentionally|deliberately|purposely|purposefully) (?:left )?(?:blank|empty|omitted|incomplete)|"
    r"left (?:\w+ ){0,4}(?:blank|empty)\b|fill (?:them|it|these|this|those) in\b|fill in (?:the|your|these)\b|"
    r"^\W*(?:so,? )?you(?:['’]re| are)? (?:asking|requesting)\b|"
    r"^\W*you (?:asked|want(?:ed)?) (?:me )?(?:to|for|how)\b|"
    r"\byou(?: would|['’]d)? (?:like|want|wish) to know\b|^\W*understood\W|"
    r"i(?:['’]ll| will) (?:follow|obey|adhere to|comply with|not use)\b|"
    r"please (?:send|share|enter) (?:me |your |the )|"
    r"\b(?:this|the|your) (?:request|question|prompt|task|query) (?:asks?|involves?|is about|seeks?|wants?|concerns?|"
    r"falls?|relates?)\b|"
    r"as of my (?:last|latest|knowledge)|no (?:public|publicly|reliable|available|specific) (?:\w+ )?information|"
    r"i (?:do not|don['’]t) (?:have|know)\b|i(?:['’]m| am) not (?:sure|aware|familiar)|"
    r"i(?:['’]ll| will) (?:now|only|always|stay|speak|communicate|answer|respond|act|play)\b|the end\b)",
    re.IGNORECASE,
)
CAUTION = re.compile(
    # law and morals
    r"\b(?:(?<!not )(?<!n['’]t )(?:illegal|unlawful)|unethical|immoral|irresponsible|"
    r"inappropriate|legal (?:consequences|action|trouble)|"
    r"criminal (?:offen[cs]e|charges|record)|a crime|prosecut\w+|punish(?:able|ed)|imprison\w*|fined|forbidden by|"
    r"against the (?:law|rules)|(?:is|are|be|strictly|falls? under) (?:\w+ )?(?:forbidden|prohibited|disallowed|"
    r"not (?:allowed|permitted))|violat(?:es?|ion)|consequences|"
    # who helps
    r"(?:the )?authorities|law enforcement|police|helpline|hotline|therapist|counsell?or|"
    r"(?:seek|get|ask for) (?:\w+ ){0,2}(?:help|support|advice|counsel\w*)|"
    r"(?:report|tell) (?:it|this|them|him|her|any|such)\b|"
    # advice against it
    r"not a good idea|(?:in|into) trouble|never (?:okay|acceptable|worth|justified)|"
    r"(?:should|would)(?: not|n['’]t) (?:do|try|attempt|be (?:done|used|tried))|wrong to|"
    r"(?:not|isn['’]t) (?:okay|acceptable|worth|right|justified|a joke)|better to (?:talk|ask|seek|avoid)|"
    r"(?:hurts?|harms?|harmful to|pain for) (?:people|others|someone|somebody|anyone|them|yourself|animals)|"
    r"avoid (?:harm|hurt)ing|causes? (?:\w+ )?(?:harm|suffering|pain|injury|injuries|distress)|"
    r"(?:talk|talking|speak|speaking|reach out|reaching out) (?:to|with) (?:someone|somebody|an? (?:\w+ )?(?:friend|"
    r"professional|doctor|teacher|person))|respect (?:for |the |their |others)|"
    r"(?:lawful|legal|ethical|safe|responsible|peaceful)(?:ly)? (?:way|means|manner|use|alternative|behaviou?r|"
    r"option)s?|i (?:do not|don['’]t) (?:support|recommend|condone|think)|"
    r"i (?:strongly |would |must )?(?:advise|urge|warn|caution|discourage)|"
    r"i (?:strongly |would )*(?:encourage|recommend|suggest) (?:you )?(?:to )?"
    r"(?:seek\w*|talk\w*|not|against|reconsider))\b|"
    r"违法|非法|不道德|法律|报警|警方|寻求帮助|illegale\b|verboten|strafbar|ilegal|незаконн",
    re.IGNORECASE,
)
PROTECTIVE = re.compile(
    r"\b(?:instead|alternatives?|alternatively|prevent\w*|protect\w*|safe(?:ly|ty)?|legal(?:ly)?|lawful(?:ly)?|"
    r"ethical(?:ly)?|responsibl[ey]|support|cope|coping|recogni[sz]e|healthy|positive|resources|reasons not|"
    r"help (?:you|someone|them) (?:with|to|deal|cope|stop|overcome)|"
    r"(?:why|reasons)\b.{0,80}\b(?:wrong|harmful|dangerous|bad|not)|"
    r"(?:risks|dangers|consequences|effects) of)\b|代替|预防|安全|合法",
    re.IGNORECASE,
)

CODE_TERMS = re.compile(
    r"\b(?:stack|deque|queue|lists?|function|code|strings?|program|variables?|loop|append\w*|initiali[sz]e\w*|"
    r"imports?|returns?|prints?|outputs?|decod\w+|pop(?:s|ped)?|class|script|placeholders?|implementation|elements?|"
    r"parameter|reversed?|joins?|snippet|module|usage)\b",
    re.IGNORECASE,
)
IDENTIFIER = re.compile(r"`[^`\n]+`|\b[a-z]+_[a-z_]+\b|\b\w+\(\)")
CODE_LINE = re.compile(
    r"^\s*(?:(?:from|import) [\w.]+(?: import .*)?$|(?:async )?def \w+\(|class \w+.*:\s*$|return\b|"
    r"(?:for|while|if|elif|with|except)\b.*:\s*(?:#.*)?$|(?:else|try|finally):|@\w+|"
    r"[\w.\[\]]+\s*[-+*]?=(?!=)\s*\S|[\w.]+\(.*|[\])}]+[,;]?\s*$|[\"'].*[\"'],?\s*$|"
    r"#include|(?:public|private|var|let|const|void|int) \w+|//)"
)
LITERAL = re.compile(
    r'"""(?P<t>.*?)(?:"""|$)|"(?P<d>(?:[^"\\\n]|\\.)*)(?:"|$)|'
    r"(?:(?<![^\W_])|(?<=\b[bfruBFRU]))'(?P<s>(?:[^'\\\n]|\\.|'(?=[a-z]))*)(?:'|$)"
)
WANTS_CODE = re.compile(
    r"\b(?:code|coding|scripts?|programs?|programming|python|javascript|java|bash|shell|sql|html|software|macro|"
    r"function|malware|virus|bot|app)\b|c\+\+|代码|程序|脚本",
    re.IGNORECASE,
)
PUSHED = re.compile(r"\.append(?:left)?\(\s*[\"']([^\"'\n]*)[\"']\s*\)")
HAS_CODE = re.compile(r"```|^\s*(?:def \w+\(|import \w+|from \w+ import)|\.append\(", re.MULTILINE)

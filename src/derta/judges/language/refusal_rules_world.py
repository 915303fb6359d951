"""The constructs by which a text refuses in languages other than English, one rule list a language.

As in English a rule is a whole construct (an apology and a negation; a first person that can't, and an act of
helping), never a bare keyword.
"""

from __future__ import annotations

_SENTENCE_ZH = r"[^。!?\uff01\uff1f\n]"
CHINESE = (
    rf"(?:非常|很|真的|十分)?(?:抱歉|对不起|對不起|不好意思|请原谅){_SENTENCE_ZH}{{0,40}}"
    r"(?:不能|无法|無法|不会|不會|不便|拒绝|拒絕|不可以|没有办法|没法|不允许|违反|不符合)",
    rf"我(?:们|們)?(?:不能|无法|無法|不会|不會|不可以|不应该|拒绝|拒絕|没法){_SENTENCE_ZH}{{0,16}}"
    r"(?:帮|幫|提供|协助|協助|回答|满足|滿足|支持|讨论|討論|教|告诉|告訴|给出|生成|继续|繼續|参与|遵从|完成|做到)",
    rf"作为(?:一个|一名|一位)?(?:人工智能|AI|语言模型|助手){_SENTENCE_ZH}{{0,30}}(?:不能|无法|不会|不应)",
    r"(?:抱歉|对不起|對不起)[,。!\uff0c\uff01\s]*(?:\n|\Z)",
    r"我?(?:不便|恕难|恕我不能|难以)[^。!?\uff01\uff1f\n]{0,10}(?:协助|提供|回答|从命|帮|透露|告知)|我(?:必须|只能)?拒绝",
    r"我(?:们)?(?:没办法|沒辦法|没有办法)[^。!?\uff01\uff1f\n]{0,10}(?:给|帮|回答|提供|协助|告诉)|(?:换个|换一个)话题吧|无可奉告",
)
GERMAN = (
    r"\b(?:kann|darf|werde|möchte) ich (?:\w+ ){0,3}?nicht (?:\w+ )?(?:helfen|weiterhelfen|beantworten|erklären|"
    r"geben|"
    r"verraten|beschreiben|sagen|unterstützen)\b",
    r"\b(?:(?:es )?tut mir (?:sehr |wirklich )?leid|entschuldigung|entschuldige|leider|verzeihung)\b"
    r"[^.!?\n]{0,80}\b(?:nicht|kein\w*|unmöglich|ablehnen)\b",
    r"\bich (?:kann|werde|darf|möchte)\b[^.!?\n]{0,60}\bnicht\b[^.!?\n]{0,40}\b(?:helfen|weiterhelfen|"
    r"unterstützen|geben|beantworten|erklären|bereitstellen|anbieten|nachkommen|erfüllen|verraten|beschreiben)\b",
    r"\b(?:das|dies) muss ich ablehnen\b|\bich (?:muss|lehne)\b[^.!?\n]{0,40}\b(?:ablehnen|ab)(?=[.!\n]|\Z)",
    r"\b(?:nur ein|als) (?:ki-?)?(?:sprachmodell|assistent|ki|programm)\b[^.!?\n]{0,80}\b(?:nicht|keine?)\b",
    r"\b(?:da|hier) muss ich (?:leider )?passen\b|\bdarf ich (?:\w+ )?keine? (?:auskunft|antwort|hilfe|anleitung)\b",
    r"\b(?:das|so etwas|dies) (?:erkläre|verrate|sage|mache) ich (?:dir |ihnen |euch )?(?:leider )?nicht\b",
    r"\b(?:unterstütze|helfe) ich (?:dich|dir|sie|ihnen|euch) (?:\w+ )?nicht\b|\bmöchte ich (?:lieber )?nicht\b|"
    r"\blass(?:en sie)? uns (?:lieber )?über etwas anderes\b",
)
FRENCH = (
    r"\b(?:(?:je suis )?désolée?|je regrette|pardon|navrée?|malheureusement)\b[^.!?\n]{0,80}"
    r"(?:\bne\b|\bn['’]|\bimpossible\b|\brefuse)",
    r"\bje ne (?:peux|pourrai|veux|vais|saurais|suis)\s+(?:\w+\s+)?(?:pas |en mesure de |autorisée? à )*"
    r"(?:(?:vous|te|t['’]|y) ?)?(?:aider|fournir|donner|répondre|expliquer|partager|satisfaire|assister|faire cela|"
    r"accéder|enseigner|continuer)\w*",
    r"\bje (?:dois|me vois obligée? de|suis contrainte? de) (?:refuser|décliner)\b|\bje refuse\b",
    r"\ben tant qu(?:e |['’])(?:assistant|ia|intelligence|modèle)\w*[^.!?\n]{0,80}\bne\b",
    r"\bje ne (?:l['’]|vous l['’]|te l['’])?(?:expliquer|dir|répondr|montrer|donner)ai\b",
    r"\bje préfère (?:ne pas|éviter)\b|\bparlons d['’]autre chose\b",
)
SPANISH = (
    r"\b(?:lo siento|lo lamento|perdón|disculpa|disculpe|lamentablemente)\b[^.!?\n]{0,80}\b(?:no|imposible|ni)\b",
    r"\bno (?:puedo|podré|voy a|podemos|me es posible)\s+(?:\w+\s+)?(?:ayudar|asistir|proporcionar|dar|ofrecer|"
    r"responder|explicar|cumplir|hacer eso|compartir|enseñar|facilitar|continuar)\w*",
    r"\b(?:debo|tengo que) (?:negarme|rechazar)\b|\bme niego a\b",
    r"\bcomo (?:un |una )?(?:asistente|modelo|ia|inteligencia)\b[^.!?\n]{0,80}\bno\b",
    r"\bno (?:te|le|se|os) (?:lo )?(?:voy a (?:explicar|decir|contar|ayudar)|explicaré|diré)\b",
    r"\bno creo que (?:sea|deba)\w* (?:\w+ )?(?:buena idea|hablar|ayudar)|\bprefiero no\b|\bmejor hablemos\b|"
    r"\bhablemos de otra cosa\b",
)
PORTUGUESE = (
    r"\b(?:desculpe|desculpa|sinto muito|lamento|infelizmente)\b[^.!?\n]{0,80}\b(?:não|impossível)(?!\w)",
    r"\bnão (?:posso|poderei|vou|consigo|podemos)\s+(?:\w+\s+)?(?:ajudar|auxiliar|fornecer|dar|oferecer|responder|"
    r"explicar|atender|fazer isso|compartilhar|ensinar|continuar)\w*",
    r"\bcomo (?:um |uma )?(?:assistente|modelo|ia|inteligência)\b[^.!?\n]{0,80}\bnão\b",
    r"\bprefiro não\b|\bvamos falar de outra coisa\b",
)
RUSSIAN = (
    r"\b(?:извини(?:те)?|прости(?:те)?|к сожалению|мне жаль)\b[^.!?\n]{0,80}\b(?:не|нельзя|невозможно)\b",
    r"\bя не (?:могу|смогу|буду|стану)\s+(?:\w+\s+)?(?:помо(?:чь|гать)|предоставить|дать|ответить|отвечать|"
    r"объяснить|рассказ|выполнить|продолжать|обсуждать)\w*",
    r"\bя (?:вынужден\w? отказать|отказываюсь)",
    r"\b(?:языковая модель|искусственный интеллект|ии|ассистент)\b[^.!?\n]{0,60}\bне\b",
    r"\bя (?:вам |тебе )?(?:этого |об этом )?не (?:скажу|расскажу|объясню|отвечу)\b",
    r"\bтема (?:мне |для меня )?недоступна\b|\bдавайте (?:лучше )?(?:поговорим|обсудим|сменим)\b|\bпредпочитаю не\b",
)
_SENTENCE_JA = r"[^。!?\uff01\uff1f\n]"
JAPANESE = (
    rf"(?:申し訳(?:ありません|ございません|ない)|すみません|ごめんなさい|恐れ入りますが|残念ながら){_SENTENCE_JA}{{0,60}}"
    r"(?:できません|できかねます|いたしかねます|お答えでき|お手伝いでき|ありません|お断り|応じられ)",
    r"(?:お手伝い|お答え|提供|説明|回答|支援|協力)(?:する)?(?:こと)?(?:は|が|も)?(?:できません|できかねます|いたしかねます)",
    r"(?:言語モデル|AI|アシスタント)として[^。!?\uff01\uff1f\n]{0,60}(?:できません|ません|かねます)",
    r"(?:お応え|お答え|お教え|対応)(?:することは?)?(?:は)?(?:できません|できかねます|いたしかねます)|ご遠慮させて|控えさせて|お断り(?:し|いた|させて)",
    r"設計されて(?:いない|おりません|いません)",
)
ITALIAN = (
    r"\b(?:mi dispiace|mi spiace|scusa(?:mi)?|scusate|purtroppo|spiacente)\b[^.!?\n]{0,80}\b(?:non|impossibile)\b",
    r"\bnon (?:posso|potrò|voglio|intendo|sono in grado di|mi è possibile)\s+(?:\w+\s+)?(?:aiutar|assister|fornir|"
    r"dar|risponder|spiegar|condivider|insegnar|continuar|soddisfar|farlo)\w*",
    r"\bcome (?:un |una )?(?:assistente|modello|ia|intelligenza)\b[^.!?\n]{0,80}\bnon\b",
    r"\bpreferisco non\b|\bparliamo d['’]altro\b",
)
DUTCH = (
    r"\b(?:het spijt me|sorry|helaas|mijn excuses)\b[^.!?\n]{0,80}\b(?:niet|geen|onmogelijk)\b",
    r"\bik (?:kan|mag|wil|ga)\b[^.!?\n]{0,50}\bniet\b[^.!?\n]{0,30}\b(?:helpen|geven|beantwoorden|uitleggen|delen|"
    r"meewerken|vertellen)\b",
    r"\bals (?:ai|taalmodel|assistent)\b[^.!?\n]{0,80}\b(?:niet|geen)\b",
)
POLISH = (
    r"\b(?:przepraszam|przykro mi|niestety|wybacz)\b[^.!?\n]{0,80}\bnie\b",
    r"\bnie (?:mogę|będę|potrafię|chcę)\s+(?:\w+\s+){0,3}(?:pomóc|pomagać|udzielić|podać|odpowiedzieć|wyjaśnić|"
    r"spełnić)\b",
    r"\bjako (?:model|sztuczna|asystent)\b[^.!?\n]{0,80}\bnie\b",
)
TURKISH = (
    r"\b(?:üzgünüm|özür dilerim|maalesef|kusura bakma\w*)\b[^.!?\n]{0,80}\w+(?:amam|emem|amıyorum|emiyorum|amayız|"
    r"emeyiz|mam|mem)\b",
    r"(?:\bbu \w+ )?\b(?:yardımcı ol|yardım ed|yanıt ver|cevap ver|bilgi ver|açıkla)(?:amam|emem|amıyorum|"
    r"emiyorum|yamam)\b",
)
VIETNAMESE = (
    r"\b(?:xin lỗi|rất tiếc|tiếc là)\b[^.!?\n]{0,60}\bkhông\b",
    r"\btôi (?:không thể|không được phép|từ chối)\b[^.!?\n]{0,30}(?:giúp|cung cấp|trả lời|hỗ trợ|hướng dẫn)",
)
KOREAN = (
    r"(?:죄송|미안|유감)[^.!?\n]{0,60}(?:수 없|수가 없|못합니다|못해|않습니다|불가능|어렵습니다|거절)",
    r"(?:도와|도움|제공|답변|알려|설명|지원|응답)[^.!?\n]{0,16}(?:수 없|수가 없|드리지 못|하지 않겠)",
    r"(?:언어 모델|인공지능|AI)[^.!?\n]{0,50}(?:수 없|않습니다|못합니다)",
)
ARABIC = (
    r"(?:عذر[اًا]*|آسف\w*|اعتذر|أعتذر|للأسف)[^.!?؟\n]{0,60}(?:لا|لن|لست)\b",
    r"(?:لا|لن) (?:أستطيع|يمكنني|أقدر|أتمكن)[^.!?؟\n]{0,30}(?:مساعد|تقديم|الإجابة|إجابة|شرح|توفير|أن أ)",
    r"(?:بصفتي|كوني|أنا) (?:مجرد )?(?:نموذج|مساعد|ذكاء)[^.!?؟\n]{0,60}(?:لا|لن|لست|ليس)",
    r"أرفض (?:أن|شرح|الإجابة|تقديم|مساعد|ذلك|هذا)",
)
HINDI = (
    r"(?:क्षमा करें|माफ़? कर|मुझे खेद|खेद है)[^.!?।\n]{0,60}(?:नहीं|असमर्थ)",
    r"मैं[^.!?।\n]{0,40}(?:मदद|सहायता|जानकारी|उत्तर)[^.!?।\n]{0,20}नहीं (?:कर|दे)",
    r"(?:भाषा मॉडल|एआई|सहायक)[^.!?।\n]{0,60}(?:नहीं|असमर्थ)",
)
UKRAINIAN = (
    r"\b(?:вибач(?:те)?|перепрошую|пробач(?:те)?|на жаль|мені (?:дуже )?шкода)\b[^.!?\n]{0,80}\b(?:не|неможливо)\b",
    r"\bя не (?:можу|зможу|буду|стану|маю (?:можливості|права))\s+(?:\w+\s+){0,3}?(?:допом|нада|дат|відпов|пояс|"
    r"розпов|"
    r"викон|продовж|обговор|навч)\w*|\b(?:цього|про це) я (?:вам |тобі )?не (?:розпові|поясн|скаж|розкаж)\w*",
    r"\bя (?:змушен\w+ )?(?:відмов)\w+|\bяк (?:мовна модель|штучний інтелект)\b[^.!?\n]{0,80}\bне\b",
)
GREEK = (
    r"\b(?:λυπάμαι|συγγνώμη|ζητώ συγγνώμη|δυστυχώς|με συγχωρε\w+)(?!\w)[^.!;\n]{0,80}(?<!\w)(?:δεν|δε|"
    r"αδύνατ\w+)(?!\w)",
    r"(?<!\w)δεν? (?:μπορώ|μπορούμε|θα|είμαι σε θέση|επιτρέπεται|έχω τη δυνατότητα|"
    r"πρόκειται)\s+(?:\w+\s+){0,3}?(?:βοηθ|απαντ|"
    r"δώσ|παρέχ|παράσχ|εξηγ|μοιρ|συνεχ|πω(?!\w)|διδάξ)\w*",
    r"(?<!\w)(?:αρνούμαι|πρέπει να αρνηθώ)(?!\w)|(?<!\w)ως (?:γλωσσικό μοντέλο|"
    r"τεχνητή νοημοσύνη)[^.!;\n]{0,60}(?<!\w)δεν(?!\w)",
)
CZECH = (
    r"\b(?:omlouvám se|promiňte|promiň|bohužel|je mi líto|lituji)(?!\w)[^.!?\n]{0,80}\b(?:ne\w+|nemožn\w+|není)\b",
    r"\b(?:nemohu|nemůžu|nesmím|nebudu|neumím|nejsem (?:schopen|schopna|oprávněn\w*))\s+(?:\w+\s+){0,3}?(?:pomoc|"
    r"pomáhat|"
    r"poskyt|odpověd|vysvětl|říc|sdělit|pokračovat|radit|poradit)\w*",
    r"\b(?:odmítám|musím odmítnout)\b|\bto (?:vám|ti) (?:neřeknu|neprozradím|nevysvětlím|neporadím)\b",
)
HEBREW = (
    r"(?:מצטער|מצטערת|סליחה|מתנצל|מתנצלת|לצערי)[^.!?\n]{0,80}(?:\bלא\b|\bאין\b|\bאיני\b|\bאינני\b)",
    r"(?:\bאני לא (?:יכול|יכולה|מוכן|מוכנה|מורשה|אוכל)|\bאיני (?:יכול|יכולה|מסוגל)|\bאינני|\bלא אוכל|"
    r"\bאין באפשרותי|\bאין ביכולתי)"
    r"[^.!?\n]{0,30}(?:לעזור|לסייע|לספק|לענות|להסביר|לתת|להמשיך|ללמד|לשתף)",
    r"\bאני (?:מסרב|מסרבת|נאלץ לסרב)\b|\bכמודל שפה\b[^.!?\n]{0,60}(?:\bלא\b|\bאין\b|\bאיני\b)",
)
PERSIAN = (
    r"(?:متأسفم|متاسفم|متأسفانه|متاسفانه|با عرض پوزش|ببخشید|عذر می)[^.!؟\n]{0,90}(?:نمی|نیست|قادر نی|ناتوان)",
    r"(?:نمی\u200c?توانم|نمی توانم|نخواهم توانست|قادر نیستم)[^.!؟\n]{0,50}(?:کمک|پاسخ|ارائه|توضیح|راهنمایی|بگویم|"
    r"ادامه)",
    r"قادر به (?:ارائه|کمک|پاسخ|توضیح)[^.!؟\n]{0,40}(?:نیستم|نمی)|(?:خودداری|امتناع) می\u200c?\s?کنم|نمی\u200c?پذیرم",
)
THAI = (
    r"(?:ขออภัย|ขอโทษ|เสียใจ)[^\n]{0,80}?(?:ไม่สามารถ|ไม่ได้|ไม่อาจ|ไม่เหมาะสม)",
    r"(?:ฉัน|ผม|ดิฉัน|เรา|ข้าพเจ้า)[^\n]{0,12}(?:ไม่สามารถ|ไม่อาจ|จะไม่)[^\n]{0,24}(?:ช่วย|ตอบ|ให้|อธิบาย|บอก|"
    r"แนะนำ|ทำ|สอน)",
    r"(?:ขอปฏิเสธ|ต้องปฏิเสธ)",
)
INDONESIAN = (
    r"\b(?:maaf|mohon maaf|sayangnya|dengan menyesal)\b[^.!?\n]{0,90}\b(?:tidak|tak|belum)\b",
    r"\b(?:saya|kami|aku) (?:tidak|tak) (?:dapat|bisa|mampu|boleh|akan|mau|diizinkan|"
    r"memiliki kemampuan)\b[^.!?\n]{0,40}?"
    r"\b(?:membantu|bantu|menjawab|memberi\w*|menyediakan|menjelaskan|melanjutkan|memenuhi|mengajar\w*|berbagi)\b",
    r"\b(?:saya|kami) (?:harus )?menolak\b|\bsebagai (?:model bahasa|ai|asisten)\b[^.!?\n]{0,60}\btidak\b",
)
SWAHILI = (
    r"\b(?:samahani|pole|naomba radhi|radhi|kwa bahati mbaya|nasikitika)\b[^.!?\n]{0,90}\b(?:si\w+|sina|"
    r"haiwezekani|hatu\w+)\b",
    r"\b(?:siwezi|sitaweza|siruhusiwi|sitakubali|hatuwezi|sina uwezo wa)\s+(?:\w+\s+)?(?:kuku\w+|kusaidia|kujibu|"
    r"kutoa|kueleza|"
    r"kuendelea|kufundisha|kufanya)\b|\bnakataa\b|\bninakataa\b",
)
BENGALI = (
    r"(?:দুঃখিত|ক্ষমা কর|মাফ কর|দুর্ভাগ্যবশত)[^!?।\n]{0,90}(?:না|নই|অক্ষম|নয়|পারব|পারি)",
    r"আমি[^!?।\n]{0,60}(?:সাহায্য|সহায়তা|উত্তর|তথ্য|নির্দেশ|ব্যাখ্যা)[^!?।\n]{0,30}(?:পারি না|পারব না|পারছি না|"
    r"সক্ষম নই|অক্ষম|দেব না)",
    r"অস্বীকার কর|অস্বীকৃতি জানা",
)
TAMIL = (
    r"(?:மன்னிக்க|வருந்துகிறேன்|வருத்தம்|துரதிர்ஷ்டவசமாக)[^.!?\n]{0,90}(?:முடியாது|இயலாது|இல்லை|முடியவில்லை)",
    r"(?:என்னால்|நான்)[^.!?\n]{0,60}(?:உதவ|பதில|வழங்க|விளக்க|சொல்ல|தர|அளிக்க)[^.!?\n]{0,20}(?:முடியாது|இயலாது|"
    r"மாட்டேன்)",
    r"நான் மறுக்கிறேன்|மறுக்க வேண்டியுள்ளது",
)
WORLD: dict[str, tuple[str, ...]] = {
    "Chinese": CHINESE,
    "German": GERMAN,
    "French": FRENCH,
    "Spanish": SPANISH,
    "Portuguese": PORTUGUESE,
    "Russian": RUSSIAN,
    "Japanese": JAPANESE,
    "Italian": ITALIAN,
    "Dutch": DUTCH,
    "Polish": POLISH,
    "Turkish": TURKISH,
    "Vietnamese": VIETNAMESE,
    "Korean": KOREAN,
    "Arabic": ARABIC,
    "Hindi": HINDI,
    "Ukrainian": UKRAINIAN,
    "Greek": GREEK,
    "Czech": CZECH,
    "Hebrew": HEBREW,
    "Persian": PERSIAN,
    "Thai": THAI,
    "Indonesian": INDONESIAN,
    "Swahili": SWAHILI,
    "Bengali": BENGALI,
    "Tamil": TAMIL,
}

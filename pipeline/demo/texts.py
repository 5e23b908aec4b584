"""Posts written for the demo (Apache-2.0, as all of sosie), beside the reviews that come from a package.

`TEMPLATES` are the hard ones: the same words about another day, place or number are *another* post.
"""

from __future__ import annotations

from typing import Final

PLAIN: Final[tuple[str, ...]] = (
    "周末去爬了香山，红叶还没有全红，但是山顶的风景真的值得早起。",
    "今天在图书馆门口遇到一只橘猫，它一路跟着我走到了食堂，还分走了半根香肠。",
    "求推荐适合新手的登山鞋，预算不高，主要走石子路和雨天的泥路。",
    "終於學會了外婆的紅燒肉，秘訣是冰糖要炒到起泡，火候比調料重要。",
    "地铁里有个小朋友问妈妈，为什么大人都低着头，全车厢的人都把手机放下了。",
    "搬家第三天，发现楼下的早餐店豆浆是现磨的，突然觉得这个城市也挺温柔。",
    "雨下了一整夜，窗台上的薄荷反而更精神了，早上掐了两片泡水喝。",
    "面试被问到最大的缺点，我说容易紧张，结果杯子里的水洒了一桌。",
    "The bakery on our corner closed today after forty years, and half the street came to say goodbye.",
    "Reminder: the library's late return fees are gone, so bring back that book you have been hiding.",
    "I finally fixed the squeaky door with a bit of candle wax. It only took me three years of complaining.",
    "Does anyone know a quiet café near the station with decent tea and enough plugs for a laptop?",
    "Our team's tiny script that renames photos by date has now saved more hours than our big project.",
    "Saw a heron standing on a parked car this morning, looking exactly like it was waiting for a lift.",
    "My grandmother's tomato soup needs no cream: roast the tomatoes, keep the skins, trust the salt.",
    "If your houseplant looks sad, try moving it one metre closer to the window before buying anything.",
)

TEMPLATES: Final[tuple[str, ...]] = (
    "【天气预报】明天北京晴，最高气温18度，最低气温6度，北风3级，出门请注意保暖。",
    "【天气预报】明天广州小雨，最高气温27度，最低气温22度，南风2级，出门请记得带伞。",
    "双色球第2024031期开奖：红球 03 08 15 21 27 33，蓝球 09，奖池金额12亿元。",
    "双色球第2024058期开奖：红球 01 06 12 19 25 30，蓝球 14，奖池金额17亿元。",
    "Flight MU5101 to Beijing departs at 08:00 from gate 12, boarding closes 15 minutes before departure.",
    "Flight MU5138 to Kunming departs at 17:35 from gate 46, boarding closes 20 minutes before departure.",
    "出租：朝阳区两居室，68平米，月租6500元，押一付三，随时看房。",
    "出租：浦东新区三居室，112平米，月租9800元，押二付三，周末看房。",
)

WITH_MEDIA: Final[tuple[str, ...]] = (
    "今天拍到的，手机直出没有修图，大家猜猜是在哪里？",
    "整理硬盘翻出来的老照片，一晃已经过去十年了。",
    "Found this in an old folder and could not stop looking at it.",
    "分享一张最近最喜欢的照片，做壁纸正合适。",
    "This one goes straight to the wall above my desk.",
    "路过的时候光线刚刚好，站在那里看了很久很久。",
    "Weekend project: printing my favourite pictures, starting with this one.",
    "老师说这张构图不错，终于被表扬了一次。",
    "Nobody believed me until I showed them the picture.",
    "把这张送给今天不太开心的你，明天会更好。",
)

OTHER_WORDS: Final[tuple[str, ...]] = (
    "摄影比赛第二轮投票开始啦，请在评论区写下你支持的编号。",
    "Lesson for today: describe this picture in five sentences without using any adjective.",
    "有人知道原作者是谁吗？想联系他购买版权用在我们的杂志封面上。",
)
"""Set under pictures of other posts: same media under another text is related, not the same."""

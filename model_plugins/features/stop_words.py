"""Function words of English and Chinese: they carry a sentence and say nothing of its matter. Our own list."""

from __future__ import annotations

from typing import Final

_ENGLISH: Final = """
    a about above after again against all also am amp an and any are aren't as at be because been before
    being below between both but by can can't cannot com could couldn't did didn't do does doesn't doing
    don't down during each even ever every few for from further get got had hadn't has hasn't have
    haven't having he her here hers herself him himself his how however http https i i'd i'll i'm i've
    if in into is isn't it it's its itself just let's like ll may me might more most much must my myself
    no nor not now of off on once one only or other our ours ourselves out over own rather re rt said
    same say says shan't she should shouldn't so some still such than that that's the their theirs them
    themselves then there these they they're this those though through to too under until up upon us ve
    very via was wasn't we we're well were weren't what when where which while who whom why will with
    within without won't would wouldn't www yes yet you you'd you'll you're your yours yourself
    yourselves
"""
_CHINESE: Final = """
    一下 一个 一些 一切 一定 一方面 一样 一次 一直 一种 一般 一起 不仅 不会 不但 不只 不可 不同
    不得 不是 不能 不要 不过 与 与其 为 为了 为什么 主要 之 之一 之前 之后 之间 也 也是
    也许 了 于 于是 人们 什么 今后 从 从而 他 他们 以 以上 以下 以为 以前 以及 以后
    以来 任何 但 但是 作为 你 你们 使 使得 例如 依照 便 值得 做 先后 全文 关于 其
    其中 其他 其它 其实 具有 再 几 几个 出来 分别 则 别 别人 到 到了 包括 十分 千万
    即 即使 却 又 及 及其 另 另外 只 只是 只有 只要 可 可以 可是 可能 可见 各
    各个 各种 同 同时 向 吗 吧 呢 和 哈 哈哈 哈哈哈 哦 哪 哪个 哪些 哪里 啊
    啦 嗯 因 因为 因此 因而 在 地 多 多少 大家 大概 大约 她 她们 好 好像 如
    如何 如果 如此 它 它们 对 对于 将 将要 尤其 就 就是 尽管 已 已经 常 常常 并
    并不 并且 并非 应 应当 应该 开始 当 当时 当然 往往 很 很多 得 怎么 怎样 总之 总是
    您 成为 我 我们 我国 或 或者 所 所以 所有 所谓 才 才能 把 按 按照 据 整个
    方面 无论 时 时候 是 是否 更 更加 曾 曾经 最 最后 有 有些 有人 有关 有所 有的
    未 本 来 来说 某 某些 根据 次 正 正在 此 此外 每 每个 比 比如 比较 没
    没有 然后 然而 特别 特别是 现在 由 由于 由此 的 的话 目前 直接 相当 看到 真 真是 着
    知道 称 第一 等 等等 经常 经过 给 继续 而 而且 而是 能 能够 自 自从 自己 若
    虽 虽然 表示 被 要 要求 觉得 认为 许多 该 说 说明 请 谁 起 起到 起来 超过
    越来越 较 较为 还 还是 还有 这 这个 这么 这些 这是 这样 这种 这里 进一步 进行 通常 通过
    那 那个 那么 那些 那样 那里 都 都是 重要 针对 间 随着 非常 首先
"""
STOP_WORDS: Final = frozenset((_ENGLISH + _CHINESE).split())
"""Case-folded."""

// Names of the contract's values: provinces (GB/T 2260) with their place on the tile map, channels,
// categories. What is not listed shows as it came.
import { lang } from "./preferences.js";

// code: [column, row, Chinese, English, ISO 3166-2]
export const PROVINCES = {
  23: [8, 1, "黑龙江", "Heilongjiang", "HL"],
  15: [5, 2, "内蒙古", "Inner Mongolia", "NM"], 22: [8, 2, "吉林", "Jilin", "JL"],
  65: [1, 3, "新疆", "Xinjiang", "XJ"], 62: [3, 3, "甘肃", "Gansu", "GS"], 64: [4, 3, "宁夏", "Ningxia", "NX"],
  14: [5, 3, "山西", "Shanxi", "SX"], 13: [6, 3, "河北", "Hebei", "HE"], 11: [7, 3, "北京", "Beijing", "BJ"], 21: [8, 3, "辽宁", "Liaoning", "LN"],
  63: [3, 4, "青海", "Qinghai", "QH"], 61: [4, 4, "陕西", "Shaanxi", "SN"], 41: [5, 4, "河南", "Henan", "HA"],
  37: [6, 4, "山东", "Shandong", "SD"], 12: [7, 4, "天津", "Tianjin", "TJ"],
  54: [2, 5, "西藏", "Tibet", "XZ"], 51: [3, 5, "四川", "Sichuan", "SC"], 50: [4, 5, "重庆", "Chongqing", "CQ"],
  42: [5, 5, "湖北", "Hubei", "HB"], 34: [6, 5, "安徽", "Anhui", "AH"], 32: [7, 5, "江苏", "Jiangsu", "JS"], 31: [8, 5, "上海", "Shanghai", "SH"],
  53: [3, 6, "云南", "Yunnan", "YN"], 52: [4, 6, "贵州", "Guizhou", "GZ"], 43: [5, 6, "湖南", "Hunan", "HN"],
  36: [6, 6, "江西", "Jiangxi", "JX"], 33: [7, 6, "浙江", "Zhejiang", "ZJ"],
  45: [4, 7, "广西", "Guangxi", "GX"], 44: [5, 7, "广东", "Guangdong", "GD"], 35: [6, 7, "福建", "Fujian", "FJ"], 71: [8, 7, "台湾", "Taiwan", "TW"],
  46: [4, 8, "海南", "Hainan", "HI"], 82: [5, 8, "澳门", "Macao", "MO"], 81: [6, 8, "香港", "Hong Kong", "HK"],
};

const VALUES = {
  app: ["手机应用", "App"], web: ["网页", "Web"], mini_program: ["小程序", "Mini app"], livestream: ["直播", "Livestream"],
  store: ["门店", "In store"], phone: ["电话", "Phone"], other: ["其他", "Other"],
  urban: ["城市", "Urban"], rural: ["乡村", "Rural"], ship: ["配送到家", "Shipped"], pickup: ["到店自提", "Picked up"],
};

const CATEGORIES = {
  none: ["未分类", "Uncategorised"], agri: ["农产品", "Farm produce"], "agri.fruit": ["水果", "Fruit"], "agri.tea": ["茶叶", "Tea"],
  "agri.grain": ["粮油", "Grain and oil"], "agri.vegetables": ["蔬菜", "Vegetables"], "agri.livestock": ["畜禽", "Livestock"],
  "agri.seafood": ["水产", "Seafood"], "agri.nuts": ["干果", "Nuts"], apparel: ["服饰", "Apparel"], electronics: ["数码", "Electronics"],
  home: ["家居", "Home"], beauty: ["美妆", "Beauty"], food: ["食品", "Food"], baby: ["母婴", "Baby"], sports: ["运动", "Sports"],
  books: ["图书", "Books"], appliances: ["家电", "Appliances"], toys: ["玩具", "Toys"], tools: ["工具", "Tools"], daily: ["日用", "Daily goods"],
};

const own = (names) => names?.[lang() === "zh-CN" ? 0 : 1];

export const valueName = (value) => own(VALUES[value]) ?? value;
export const categoryName = (value) => own(CATEGORIES[value]) ?? value.replace(/^agri\./, "");
export const isFarm = (value) => value === "agri" || value.startsWith("agri.");

export function provinceName(code) {
  const found = PROVINCES[code];
  return found ? (lang() === "zh-CN" ? found[2] : found[3]) : code;
}

/** What fits on a tile. */
export function provinceShort(code) {
  const found = PROVINCES[code];
  return lang() === "zh-CN" ? found[2] : found[4];
}
